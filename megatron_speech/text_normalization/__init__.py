"""Text normalization: rewrites written text as the words that a reader says.

>>> from megatron_speech.text_normalization.spoken import Unreadable, spoken
>>> spoken("In 1984 it cost $3.5M.")
'in nineteen eighty four it cost three point five million dollars.'
>>> spoken("2024年5月", language="zh")
'二零二四年五月'
"""
