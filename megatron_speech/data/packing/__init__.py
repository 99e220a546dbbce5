"""Packs token documents into rows of one length, in shuffled order.

>>> import numpy as np
>>> from megatron_speech.data.packing.layout import fit
>>> fit(np.array([3, 5, 2, 4]), capacity=8)
[[0, 1], [2, 3]]
"""
