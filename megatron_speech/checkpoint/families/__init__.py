"""Families of Hugging Face decoders, one file per family, listed in `table`."""
