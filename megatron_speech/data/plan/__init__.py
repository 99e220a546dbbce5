"""Which row stands at which sample number: arithmetic on the configuration and the folders' counts."""
