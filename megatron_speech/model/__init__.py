"""The language model: megatron-core's `GPTModel` built from a `ModelConfig`, and its losses.

>>> import torch
>>> from megatron_speech.model.loss import total_weight
>>> sums = torch.tensor([[[6.0, 3.0], [8.0, 4.0]]])  # one source: (loss sum, targets) of text and of speech
>>> total_weight(sums, torch.tensor([[1.0, 0.5]])).item()
5.0
"""

from megatron_speech.platform import standin

standin.install()  # importing a module of this room runs this first, before the module imports megatron-core
