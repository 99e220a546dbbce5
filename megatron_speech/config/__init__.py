"""Settings of a training run and of every tool, as frozen dataclasses that check their own values.

Nothing here imports torch, so a YAML file is checked in well under a second.

>>> from megatron_speech.config.run.data import SourceConfig
>>> source = SourceConfig(folder="packed/asr", task="recognition")
>>> source.weight, source.policy.tokens
(1.0, 'target')
"""
