"""Trains the token-to-mel network of the speech decoder."""
