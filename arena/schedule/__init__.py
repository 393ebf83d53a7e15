"""Who meets whom, on what: one file a schedule, each with `meetings(field)`."""
