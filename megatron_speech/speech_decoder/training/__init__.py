"""Training of the speech decoder."""
