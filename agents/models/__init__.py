"""The models behind agents: one file a provider, and the errors that they share."""
