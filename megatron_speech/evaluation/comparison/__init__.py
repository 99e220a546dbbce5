"""Compares evaluations: scores, differences, references and published scores, as tables, JSON or a figure.

>>> from megatron_speech.evaluation.comparison.published import incomparable, rows_of
>>> row = rows_of("StoryCloze", key="published.stories")[0]
>>> row.model, row.pair, row.value
('GSLM', 'speech->speech', 53.3)
>>> incomparable(row, {"score": "per_token"}, 1871)
'score, items not told'
"""
