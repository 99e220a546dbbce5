"""Text normalization of Chinese."""
