"""Rows of the plan as batches, damaged ones masked and counted."""
