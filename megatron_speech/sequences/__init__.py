"""Layouts of ids that models are trained on and prompted with."""
