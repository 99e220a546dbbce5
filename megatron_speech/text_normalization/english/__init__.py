"""Text normalization of English."""
