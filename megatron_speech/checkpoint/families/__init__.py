"""Families of Hugging Face decoders. One file per family, named in `table`."""
