"""One file per example: its options and its steps."""
