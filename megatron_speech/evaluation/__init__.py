"""Likelihood tasks, spoken questions, recognition and resynthesis error, the report."""
