"""Families of Hugging Face decoders, one file per family, listed in `table`.

>>> from megatron_speech.checkpoint.families.table import family_of
>>> from megatron_speech.config.run.model import ModelConfig
>>> family_of(ModelConfig(qk_layernorm=True)).architecture
'Qwen3ForCausalLM'
"""
