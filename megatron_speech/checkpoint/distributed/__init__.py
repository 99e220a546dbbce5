"""Training checkpoints, saved and loaded by all ranks through megatron-core.

>>> from torch import nn
>>> from megatron_speech.checkpoint.distributed.finite import require_finite
>>> model = nn.Linear(2, 2, bias=False)
>>> _ = nn.init.constant_(model.weight, float("nan"))
>>> require_finite([model], optimizer=None)
Traceback (most recent call last):
FloatingPointError: weight is not finite
"""

from megatron_speech.platform import standin

standin.install()  # importing a module of this room runs this first, before the module imports megatron-core
