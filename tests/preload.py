"""Imports torch and megatron-core once, in the fork server of all ranks, with one thread."""

import torch

import megatron_speech.training.run  # noqa: F401

torch.set_num_threads(1)
