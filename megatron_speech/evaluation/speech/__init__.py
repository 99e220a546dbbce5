"""Measures of the speech tokenizer and decoder."""
