"""What the trainings of speech tokenizers and speech decoders share, on one rank or many.

>>> import numpy as np
>>> from megatron_speech.speech_training.order import Cursor, Order
>>> order = Order([np.full(50, 16000)], ["read"], [1.0], batch_seconds=10, seed=0)  # 50 utterances of 1 s
>>> batch = next(order.steps(Cursor()))
>>> len(batch), batch.after
(10, Cursor(stretch=0, batch=1))
"""
