"""Speech tokenizers turn speech into codes: a Whisper encoder with a codebook (arXiv 2411.17607).

>>> import torch
>>> from megatron_speech.speech_tokenizer.quantizer import nearest_codes
>>> codebook = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
>>> nearest_codes(torch.tensor([[0.9, 0.8], [0.1, 0.0]]), codebook).tolist()
[1, 0]
"""
