"""What the fork server imports once for all ranks: torch and megatron-core, with one thread."""

import torch

torch.set_num_threads(1)

import megatron_speech.model.builder  # noqa: E402
import megatron_speech.training.run  # noqa: E402, F401
