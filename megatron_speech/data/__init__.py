"""Token documents on their way to a training run: shards on disk, packing into rows, the plan of a run, its reader.

>>> import numpy as np
>>> from megatron_speech.data.shards.document import TokenDocument
>>> document = TokenDocument(key="wiki/1", tokens=np.array([5, 6, 7], np.int32), target_start=1)
>>> document.tokens[document.target_start :].tolist()
[6, 7]
"""
