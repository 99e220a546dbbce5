"""The language model: megatron-core's `GPTModel` built from a `ModelConfig`, its losses, its vocabulary extension."""
