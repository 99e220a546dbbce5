"""The device of this process: its GPU where CUDA exists, else the CPU. Ranks of one node take one GPU each."""

from __future__ import annotations

import os

import torch


def device() -> torch.device:
    """`cuda:<local rank>` with CUDA, else `cpu`."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
