"""Settings of the tools that look at things: shards, plans, readings, folders of artifacts."""
