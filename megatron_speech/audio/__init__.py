"""Waveforms: exact rates, reading and writing, features, transcripts, shards."""
