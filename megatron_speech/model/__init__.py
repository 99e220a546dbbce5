"""The language model: megatron-core's `GPTModel` built from a `ModelConfig`, and its losses."""

from megatron_speech.platform import standin

standin.install()  # importing a module of this room runs this first, before the module imports megatron-core
