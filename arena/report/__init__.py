"""What people read: the summary of a run, the transcript of a match."""
