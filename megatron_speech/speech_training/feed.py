"""Reads the clips of the next steps in threads, while the current step computes.

Every rank reads its own micro-batches only. An error is raised at the step of the clip that caused it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import tee
from typing import Generic, TypeVar

import torch.distributed as dist

from megatron_speech.data.reading.read_ahead import read_ahead
from megatron_speech.speech_training.order import Cursor, Order, StepBatch, parts_of

MICROBATCHES_AHEAD = 4

Clip = TypeVar("Clip")


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """A micro-batch of one rank, before it is read."""

    step: int
    batch: StepBatch
    places: list[int]
    """Places of its clips in the batch; empty if there are fewer clips than ranks."""


@dataclass(frozen=True, kw_only=True)
class Clips(Generic[Clip]):
    """A micro-batch after it is read."""

    clips: list[Clip] = field(default_factory=list)
    counts: bool = True
    """False if there are fewer clips than ranks: this rank then computes the first clip with weight 0, to stay in step
    with the others."""
    failed: Exception | None = None
    """Error that prevented reading."""


@dataclass(frozen=True, kw_only=True)
class Feed(Generic[Clip]):
    """Yields the batches of a training, with the micro-batches that this rank reads."""

    order: Order
    steps: int
    """Number of steps of the training."""
    micro_batch_seconds: float | None
    threads: int
    clip: Callable[[int, StepBatch, int], Clip]
    """Reads the clip at a place of a step's batch."""

    def batches(self, first: int, cursor: Cursor) -> Generator[tuple[StepBatch, list[Clips[Clip]]], None, None]:
        """Yield the batches from step `first` (at `cursor`) to the last, with this rank's micro-batches."""
        steps, batches = tee(zip(range(first, self.steps), self.order.steps(cursor), strict=False))
        parts = (
            [MicroBatch(step=step, batch=batch, places=places) for places in self._mine(batch)] for step, batch in steps
        )
        read = read_ahead(parts, self._read, microbatches=MICROBATCHES_AHEAD, threads=self.threads)
        for (_, batch), micros in zip(batches, read, strict=True):
            yield batch, micros

    def _mine(self, batch: StepBatch) -> list[list[int]]:
        parts = parts_of(batch, world_size=dist.get_world_size(), micro_batch_seconds=self.micro_batch_seconds)
        return parts[dist.get_rank()]

    def _read(self, part: MicroBatch) -> Clips[Clip]:
        try:
            clips = [self.clip(part.step, part.batch, place) for place in part.places or [0]]
        except (ValueError, OSError) as error:
            return Clips(failed=error)
        return Clips(clips=clips, counts=bool(part.places))


def require_read(step: int, micros: list[Clips[Clip]], *, failed_anywhere: bool) -> None:
    """Raise ValueError on all ranks if one could not read its clips."""
    if failed_anywhere:
        own = next((micro.failed for micro in micros if micro.failed is not None), None)
        raise own or ValueError(f"step {step}: another rank could not read its speech; its log says why")
