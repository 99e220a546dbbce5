"""Trains speech decoders on codes and mel frames: `run` the simple one, `causal_run` the one that streams.

>>> import torch
>>> from megatron_speech.speech_decoder.training.run import TrainingPair
>>> pair = TrainingPair(codes=torch.zeros(25, dtype=torch.int64), mel=torch.zeros(172, 80))  # 2 s of speech
>>> tuple(pair.codes.shape), tuple(pair.mel.shape)
((25,), (172, 80))
"""
