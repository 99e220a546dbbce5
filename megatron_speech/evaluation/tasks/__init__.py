"""Evaluation tasks of speech-text models, one per file: read items, score answers, estimate results.

>>> from megatron_speech.evaluation.tasks.likelihood import credit
>>> credit([-1.2, -3.0]), credit([-1.0, -1.0])  # the right answer wins, then draws
(1.0, 0.5)
"""
