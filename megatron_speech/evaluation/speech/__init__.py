"""Measures speech tokenizers and speech decoders on held-out speech.

>>> import numpy as np
>>> from megatron_speech.evaluation.speech.robustness import gain
>>> gain(np.float32([0.1, -0.3, 0.5]), gain_db=20).round(2).tolist()  # clipped to [-1, 1]
[1.0, -1.0, 1.0]
"""
