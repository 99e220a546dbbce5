"""The text-to-token model: a decoder that writes speech tokens for a text (arXiv 2411.17607, section 2.2)."""
