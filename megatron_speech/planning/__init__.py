"""Predicts what a run needs before it is queued: arithmetic only, without torch.

>>> from megatron_speech.config.run.model import ModelConfig
>>> from megatron_speech.planning.parameters import model_parameters
>>> f"{model_parameters(ModelConfig(num_layers=24), vocabulary_rows=32768).total:,}"
'25,800,960'
"""
