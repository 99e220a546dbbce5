"""Choices of data sets by likelihood: which of two passages is right?

`items` holds a choice as the model reads it, `scores` what became of its answers, and `task` the task of both.
"""
