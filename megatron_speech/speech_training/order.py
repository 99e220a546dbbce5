"""Determines the utterances of each step: a pure function of the seed and the sources, for any number of ranks.

Utterances are drawn from the sources in proportion to their weights. Each source is read in random order, epoch after
epoch. Draws are divided into stretches of about `STRETCH_BATCHES` batches. A stretch is sorted by length, for little
padding, cut into batches of `batch_seconds`, and the batches are shuffled. Ranks only divide the utterances of a batch.
Cost: a stretch must be sorted to find the batch of a step, so checkpoints store a `Cursor`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.data.plan.order import consumed, largest_remainder
from megatron_speech.data.plan.permutation import permute
from megatron_speech.grouping import batches_by_length
from megatron_speech.randomness import named_keys

Ints = NDArray[np.int64]

STRETCH_BATCHES = 32
"""Approximate number of batches per stretch."""
MIN_STRETCH = 400
"""Minimum number of utterances per stretch."""
SHARE_UNITS = 1 << 20
"""Weights of sources are rounded to multiples of 1 / `SHARE_UNITS`."""


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Place of a step in the order."""

    stretch: int = 0
    batch: int = 0
    """Number of the batch in the stretch."""


@dataclass(frozen=True, kw_only=True)
class StepBatch:
    """The utterances of one step, on all ranks, by ascending duration."""

    sources: Ints
    """Number of each utterance's source, [clips]."""
    utterances: Ints
    """Number of each utterance in its source, [clips]."""
    samples: Ints
    """Number of samples of each utterance, [clips]."""
    after: Cursor
    """Place of the next step."""

    def __len__(self) -> int:
        return len(self.sources)


class Order:
    """The order of the utterances of all sources.

    `samples` holds the durations of each source's utterances, int64 [utterances]. `names` seed the sources' orders.
    """

    def __init__(
        self,
        samples: Sequence[Ints],
        names: Sequence[str],
        weights: Sequence[float],
        *,
        batch_seconds: float,
        seed: int,
    ) -> None:
        self._samples, self._names, self._seed = samples, names, seed
        self._shares = largest_remainder(weights, SHARE_UNITS)
        self._max_total = int(batch_seconds * SAMPLE_RATE)
        means = [float(np.mean(each)) for each in samples]
        mean = sum(share * each for share, each in zip(self._shares, means, strict=True)) / SHARE_UNITS
        self.stretch = max(MIN_STRETCH, int(STRETCH_BATCHES * self._max_total / mean))
        """Number of draws per stretch."""

    def draws(self, first: int, last: int) -> tuple[Ints, Ints]:
        """Source and utterance of each of the draws `first` to `last` - 1, grouped by source: int64 [draws] each."""
        begin, end = consumed(first, self._shares), consumed(last, self._shares)
        sources, utterances = [], []
        for source, (start, stop) in enumerate(zip(begin, end, strict=True)):
            numbers = np.arange(start, stop)
            epochs, positions = np.divmod(numbers, len(self._samples[source]))
            keys = named_keys(self._seed, f"utterances of {self._names[source]}", epochs)
            utterances.append(permute(positions, len(self._samples[source]), keys))
            sources.append(np.full(len(numbers), source))
        return np.concatenate(sources), np.concatenate(utterances)

    def sample(self, count: int) -> Iterator[tuple[int, int]]:
        """Yield the first `count` draws as (source, utterance), shuffled within stretches."""
        for stretch in range(-(-count // self.stretch)):
            sources, utterances = self.draws(stretch * self.stretch, (stretch + 1) * self.stretch)
            mixed = _shuffled(len(sources), self._seed, "sample", stretch)
            drawn = zip(sources[mixed].tolist(), utterances[mixed].tolist(), strict=True)
            yield from islice(drawn, count - stretch * self.stretch)

    def steps(self, cursor: Cursor) -> Iterator[StepBatch]:
        """Yield the batches from `cursor` on, without end."""
        while True:
            # Draw a stretch, and cut it into shuffled batches of similar length.
            sources, utterances = self.draws(cursor.stretch * self.stretch, (cursor.stretch + 1) * self.stretch)
            samples = np.concatenate(
                [each[utterances[sources == number]] for number, each in enumerate(self._samples)], dtype=np.int64
            )
            batches = batches_by_length(samples.tolist(), max_total=self._max_total)
            places = _shuffled(len(batches), self._seed, "batches", cursor.stretch).tolist()
            for number in range(cursor.batch, len(batches)):
                chosen = batches[places[number]]
                done = number + 1 == len(batches)
                yield StepBatch(
                    sources=sources[chosen],
                    utterances=utterances[chosen],
                    samples=samples[chosen],
                    after=Cursor(stretch=cursor.stretch + done, batch=0 if done else number + 1),
                )
            cursor = Cursor(stretch=cursor.stretch + 1)


def parts_of(batch: StepBatch, *, world_size: int, micro_batch_seconds: float | None) -> list[list[list[int]]]:
    """Divide a batch into micro-batches: the places of their utterances, by rank and micro-batch.

    Every rank gets equally many, with similar durations. A micro-batch has at most `micro_batch_seconds` of padded
    speech, or one utterance. Some are empty if there are fewer utterances than micro-batches.
    """
    most = len(batch)
    if micro_batch_seconds is not None:
        most = max(1, int(micro_batch_seconds * SAMPLE_RATE) // int(batch.samples[-1]))
    per_rank = -(-len(batch) // (most * world_size))
    places = list(range(len(batch)))
    parts = world_size * per_rank
    return [[places[rank + micro * world_size :: parts] for micro in range(per_rank)] for rank in range(world_size)]


def _shuffled(size: int, seed: int, name: str, stretch: int) -> Ints:
    return np.argsort(named_keys(seed, f"{name} of stretch {stretch}", np.arange(size)), kind="stable")
