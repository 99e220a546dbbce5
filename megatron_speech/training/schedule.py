"""Batch size and learning rate as pure functions of the samples read, so resuming needs no schedule state.

A step reads a global batch of rows, and fewer during `train.batch_ramp`. So progress is measured in samples, not in
steps: the number of samples gives the learning rate and the size of the next step. Limitation: if the budget is changed
before a run resumes, the learning rate follows the new curve from there on.
"""

from __future__ import annotations

from collections.abc import Iterator

from megatron_speech.config.run.training import OptimizerConfig, TrainConfig
from megatron_speech.schedules import rate_by_end


def batch_size(train: TrainConfig, consumed_samples: int) -> int:
    """Rows of the step that begins after `consumed_samples`; the ramp is that of megatron-core's rampup_batch_size."""
    sizes, ramp = train.batch_sizes, train.batch_ramp
    increments = 0 if ramp is None else consumed_samples * (len(sizes) - 1) // ramp.samples
    return sizes[min(increments, len(sizes) - 1)]


def steps(train: TrainConfig, *, first: int, total: int) -> Iterator[tuple[int, int]]:
    """(first sample, rows) of each step over samples `first` to `total` - 1; the last step may reach behind the end."""
    while first < total:
        size = batch_size(train, first)
        yield first, size
        first += size


def num_steps(train: TrainConfig, *, first: int, total: int) -> int:
    """Number of `steps`; the steps behind the ramp are not iterated over."""
    count = 0
    while first < total and (size := batch_size(train, first)) < train.global_batch_size:
        first, count = first + size, count + 1
    return count + max(0, -(-(total - first) // train.global_batch_size))


def learning_rate(upto: int, *, config: OptimizerConfig, total: int) -> float:
    """Learning rate of the step that ends `upto` samples into a run of `total`.

    The rate warms up linearly to `lr`, then decays to `min_lr`. `upto` includes the step's own samples, so the rate of
    the first step is above 0 and the last step reaches `min_lr`.
    """
    return rate_by_end(
        upto,
        warmup=round(config.lr_warmup_fraction * total),
        total=total,
        peak=config.lr,
        last=config.min_lr,
        decay=config.lr_decay_style,
    )
