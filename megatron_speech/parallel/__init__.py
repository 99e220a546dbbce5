"""Rank arithmetic of a layout, the process groups made from it, and how ranks agree."""
