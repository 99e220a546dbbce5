"""Rank arithmetic of a layout, and the process groups made from it."""
