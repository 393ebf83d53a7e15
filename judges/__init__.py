"""Who decides, and how ballots become a decision. A judge at the table is a seat; what is here are pure functions."""
