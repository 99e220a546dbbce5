"""Synthesis engines: what runs a text-to-token model. One file per engine, named in `table`."""
