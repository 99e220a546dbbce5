"""Runs exported language models: scores given tokens and generates new ones, in batches.

>>> import torch
>>> from megatron_speech.inference.sampling import Sampling, choose
>>> logits, uniform = torch.tensor([[0.0, 1.0, 3.0]]), torch.tensor([0.0])
>>> [choose(logits, sampling=Sampling(temperature=t), uniform_B=uniform).item() for t in (0.0, 1.0)]
[2, 0]
"""
