"""Reads the rows of a plan as batches; damaged rows are masked and counted.

>>> import numpy as np
>>> from megatron_speech.data.reading.batch import Row, collate
>>> row = Row(tokens=np.arange(9), cu_seqlens=np.array([0, 5, 8]), context=np.zeros((0, 2)), source=0)
>>> collate([row, row]).cu_seqlens.tolist()
[0, 5, 8, 13, 16]
"""
