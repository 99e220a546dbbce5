"""Synthesis engines run a text-to-token model. Each engine is one file; `table` lists them by name.

>>> from megatron_speech.text_to_token.engines.table import ENGINES
>>> sorted(ENGINES)
['transformers', 'vllm']
"""
