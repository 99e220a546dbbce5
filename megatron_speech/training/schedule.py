"""Batch size and learning rate as pure functions of the samples read, so that resuming needs no schedule state.

A step is a global batch of rows; while `train.batch_ramp` lasts it is smaller. So samples, not steps, measure how far a
run is: the rate follows them, and a run resumed inside the ramp finds the size of its next step. Price: a run whose
budget is changed and then resumed follows the new curve from its sample on, not the old one.
"""

from __future__ import annotations

from collections.abc import Iterator

from megatron_speech.config.run.training import OptimizerConfig, TrainConfig
from megatron_speech.schedules import rate_by_end


def batch_size(train: TrainConfig, consumed_samples: int) -> int:
    """Rows of the step that begins after `consumed_samples`, as megatron-core's rampup_batch_size has it."""
    sizes, ramp = train.batch_sizes, train.batch_ramp
    increments = 0 if ramp is None else consumed_samples * (len(sizes) - 1) // ramp.samples
    return sizes[min(increments, len(sizes) - 1)]


def steps(train: TrainConfig, *, first: int, total: int) -> Iterator[tuple[int, int]]:
    """(first sample, rows) of each step over samples `first` .. `total` - 1; the last may reach behind the end."""
    while first < total:
        size = batch_size(train, first)
        yield first, size
        first += size


def num_steps(train: TrainConfig, *, first: int, total: int) -> int:
    """How many `steps` there are, without walking through them once the batch has its full size."""
    count = 0
    while first < total and (size := batch_size(train, first)) < train.global_batch_size:
        first, count = first + size, count + 1
    return count + max(0, -(-(total - first) // train.global_batch_size))


def learning_rate(upto: int, *, config: OptimizerConfig, total: int) -> float:
    """Rate of the step that ends `upto` samples into a run of `total`: linear warm-up to `lr`, then decay to `min_lr`.

    A step counts with its own samples, so that the first already learns and the last reaches `min_lr`.
    """
    return rate_by_end(
        upto,
        warmup=round(config.lr_warmup_fraction * total),
        total=total,
        peak=config.lr,
        last=config.min_lr,
        decay=config.lr_decay_style,
    )
