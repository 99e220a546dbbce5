"""Training: loop, step, optimizer, schedule, state, metrics."""

from megatron_speech.platform import standin

standin.install()  # importing a module of this room runs this first, before the module imports megatron-core
