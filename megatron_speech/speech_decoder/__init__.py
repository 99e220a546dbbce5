"""Decodes speech codes into waveforms: codes to a mel spectrogram, then mel spectrogram to waveform.

>>> import torch
>>> from megatron_speech.speech_decoder.mel import MelSettings, log_mel
>>> tuple(log_mel(torch.zeros(22050), MelSettings()).shape)  # 1 s: 86 frames of 80 mel bands
(86, 80)
"""
