"""Training checkpoints, saved and loaded by all ranks through megatron-core."""

from megatron_speech.platform import standin

standin.install()  # importing a module of this room runs this first, before the module imports megatron-core
