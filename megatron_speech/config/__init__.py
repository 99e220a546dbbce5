"""Frozen dataclasses that describe a run; torch-free, so that checking a file takes well under a second."""
