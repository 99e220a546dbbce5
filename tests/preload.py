"""What the fork server imports once for all ranks: torch and megatron-core, with one thread."""

import torch

import megatron_speech.training.run  # noqa: F401

torch.set_num_threads(1)
