"""Lets megatron-core run where no CUDA device exists."""

from __future__ import annotations


def install() -> None:
    """Patch torch and megatron-core for CPU and gloo; nothing where CUDA exists; a second call does nothing."""
