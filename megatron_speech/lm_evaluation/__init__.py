"""Lets lm-evaluation-harness (extra `lm-eval`) score exports and training checkpoints on text tasks.

>>> from megatron_speech.lm_evaluation.packed_rows import PackedRows
>>> rows = PackedRows.of([([5, 6], [7, 8]), ([9], [7])])  # contexts, and what is scored after them
>>> rows.tokens, rows.ends, rows.predictors, rows.targets
([5, 6, 7, 9], [3, 4], [1, 2, 3], [7, 8, 7])
"""
