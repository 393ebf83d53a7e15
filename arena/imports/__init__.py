"""Published debates of others, as the tables of a run; one file a source."""
