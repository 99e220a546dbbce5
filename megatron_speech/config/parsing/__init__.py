"""Parses YAML files and command lines into frozen dataclasses; no value is ever executed or imported.

>>> from megatron_speech.config.parsing.parse import parse_config
>>> from megatron_speech.config.run.training import OptimizerConfig
>>> optimizer = parse_config(OptimizerConfig, description="An optimizer.", args=["--lr", "3e-4", "--min_lr=0"])
>>> optimizer.lr, optimizer.adam_beta2
(0.0003, 0.95)
"""
