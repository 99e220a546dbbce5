"""Adds up what all ranks have read: for the log, and to end a run that meets too much damage.

The rows of each source are counted as they are handed out, and compared with the plan. So a mismatch with the plan is
detected at the next log record.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from megatron_speech.artifacts.facts.training import ReadingRecord
from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.data.reading.masked_rows import require_few
from megatron_speech.platform.device import device
from megatron_speech.storage.read_stats import ReadStats, describe
from megatron_speech.training.feed import Feed
from megatron_speech.training.state import TrainState


class ReadProgress:
    """Counts of rows, damage and waiting time over the feeds of all ranks."""

    def __init__(self, config: PretrainConfig, feed: Feed, stats: ReadStats, *, first_sample: int) -> None:
        self._config, self._feed, self._stats = config, feed, stats
        self._before = feed.plan.consumed(first_sample)
        self._planned = feed.plan.consumed(feed.plan.num_samples)
        self._damage = {"damaged_samples": 0, "damaged_blocks": 0}

    def since_last(self, state: TrainState) -> ReadingRecord:
        """Counts of all ranks for a metrics record, timings since the last call. Collective.

        Raises:
            ValueError: more damage than `data.reader` allows; on all ranks.
        """
        # Add up the counts of all ranks.
        feed, plan = self._feed, self._feed.plan
        masked = self._stats.masked(list(self._planned))
        values, waited_s = _over_ranks(np.concatenate([feed.rows, masked, self._stats.take()]), feed.waited_s)
        feed.waited_s = 0.0

        # Rows by source must be those of the plan.
        sources, names = len(plan.sources), len(masked)
        rows = dict(self._before)
        for source, count in zip(plan.sources, values[:sources].tolist(), strict=True):
            rows[source.name] += count
        assert rows == plan.consumed(state.consumed_samples), f"rows read {rows} differ from the plan at {state}"

        # Damage since the run began must stay within the limits.
        reading = describe(values[sources + names :])
        for name in self._damage:
            self._damage[name] += int(reading[name])
        require_few(
            self._config.folder,
            self._config.data.reader,
            samples=dict(zip(self._planned, values[sources : sources + names].tolist(), strict=True)),
            blocks=self._damage["damaged_blocks"],
            planned=self._planned,
        )
        return ReadingRecord(rows=rows, reading={"stalled_s": waited_s, **reading, **self._damage})


def _over_ranks(values: np.ndarray[Any, np.dtype[np.int64]], waited_s: float) -> tuple[Any, float]:
    """(sum of the counts over ranks, longest wait): a step takes as long as its slowest rank."""
    if dist.get_world_size() == 1:
        return values, waited_s
    sums, longest = torch.from_numpy(values).to(device()), torch.tensor(waited_s, device=device())
    dist.all_reduce(sums)
    dist.all_reduce(longest, op=dist.ReduceOp.MAX)
    return sums.cpu().numpy(), float(longest)
