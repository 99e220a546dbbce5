"""The device of this process: its GPU where CUDA exists, else the CPU. Ranks of one node take one GPU each."""

from __future__ import annotations

import os

import torch

# Environment variables that tell a job which GPUs it was granted: as lists (0 is the first GPU) or as numbers of GPUs.
_VISIBLE, _LISTS, _NUMBERS = (
    "CUDA_VISIBLE_DEVICES",
    ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS"),
    ("SLURM_GPUS_ON_NODE", "GPUS_PER_NODE"),
)
_NO_GPU = ("", "-1", "NoDevFiles", "none", "void")


def device() -> torch.device:
    """`cuda:<local rank>` with CUDA, else `cpu`."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def resolve_device(setting: str, *, key: str = "device") -> str:
    """`setting`, where ``auto`` is the GPU if there is one; ValueError for a GPU that torch does not see."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if setting == "auto":
        return "cuda" if count else "cpu"
    if setting != "cpu" and int(setting.partition(":")[2] or 0) >= count:
        seen = f"{count} GPU{'s' * (count > 1)}" if count else "no GPU"
        raise ValueError(f"{key}={setting}: torch sees {seen} here; use cpu or auto, or a machine that has it")
    return setting


def where(world_size: int) -> str:
    """Describe in words what a training of `world_size` ranks runs on.

    Raises ValueError if the job was granted GPUs but torch sees none, which would mean days on a CPU. An empty
    CUDA_VISIBLE_DEVICES chooses the CPU.
    """
    ranks = f"{world_size} rank{'s' if world_size > 1 else ''}"
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        of_each = " of each node" if world_size > count else ""
        return f"{ranks} on {torch.cuda.get_device_name()} x {count}{of_each}"
    if grant := _granted():
        raise ValueError(
            f"{grant} in the environment grants GPUs, but torch {torch.__version__} sees none: install torch for CUDA, "
            "check the driver (megatron-speech doctor), or set CUDA_VISIBLE_DEVICES= (empty) to "
            "train on the CPU"
        )
    return f"CPU (stand-in for megatron-core's GPU calls), {ranks}"


def _granted() -> str | None:
    """The first environment variable that grants GPUs, as NAME=value; None if there is none or the CPU is chosen."""
    none = {_VISIBLE: _NO_GPU, **dict.fromkeys(_LISTS, _NO_GPU), **dict.fromkeys(_NUMBERS, (*_NO_GPU, "0"))}
    said = {name: os.environ[name].strip() for name in none if name in os.environ}
    names = [_VISIBLE] if _VISIBLE in said else said
    return next((f"{name}={said[name]}" for name in names if said[name] not in none[name]), None)
