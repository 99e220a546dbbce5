"""Offline outputs: complete or absent, with a manifest that says what each was made from."""
