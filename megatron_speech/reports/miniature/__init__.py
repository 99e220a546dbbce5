"""Sections of the miniature's report."""
