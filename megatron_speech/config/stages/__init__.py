"""Settings of the offline stages."""
