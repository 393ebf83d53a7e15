"""Who sits down: one file a kind of agent."""
