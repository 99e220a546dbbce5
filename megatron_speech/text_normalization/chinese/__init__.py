"""Chinese text as it is read aloud."""
