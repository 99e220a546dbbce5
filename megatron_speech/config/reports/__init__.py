"""Settings of the tools that write reports."""
