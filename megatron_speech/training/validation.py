"""Computes the held-out loss by source and modality over the same rows in every layout, and asks evaluation tasks.

Each source has its own plan of at most `logging.validation_rows` rows. Micro-batches that are not full get rows without
targets.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.data.plan.mixture import compile_plan
from megatron_speech.data.plan.plan import Plan
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.training.batches import sample_numbers
from megatron_speech.training.feed import Feed
from megatron_speech.training.metrics import HeldOut, Losses, mean_losses, target_counts
from megatron_speech.training.questions import Questions
from megatron_speech.training.step import TrainingEngine, evaluate_step
from megatron_speech.vocabulary import Vocabulary


def validation_plans(config: PretrainConfig, *, vocabulary: Vocabulary) -> dict[str, Plan]:
    """The plan of each source of `data.validation`."""
    plans = {}
    for name, source in config.data.validation.items():
        sources = {name: dataclasses.replace(source, weight=1.0)}
        alone = dataclasses.replace(config.data, sources=sources, stages=[], validation={})
        compile_alone = partial(compile_plan, alone, vocabulary=vocabulary, section="data.validation")
        available = compile_alone(num_samples=1).sources[0].rows
        plans[name] = compile_alone(num_samples=min(config.logging.validation_rows, available))
    return plans


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Feeds of the held-out sources, each with the rows of its plan."""

    feeds: dict[str, Feed]
    micro_batch_size: int
    questions: Questions | None = None
    """Evaluation tasks; None asks none."""
    microbatches_multiple: int = 1
    """An interleaved pipeline needs a multiple of its number of stages; 1 for any other layout."""

    @classmethod
    def of(
        cls,
        feeds: dict[str, Feed],
        *,
        config: PretrainConfig,
        layout: ParallelLayout,
        questions: Questions | None = None,
    ) -> Validation:
        """A validation over all rows of `feeds`, in micro-batches that fit `layout`."""
        return cls(
            feeds=feeds,
            micro_batch_size=config.train.micro_batch_size,
            questions=questions,
            microbatches_multiple=layout.pipeline_size if layout.chunks_per_stage > 1 else 1,
        )

    def run(self, engine: TrainingEngine) -> HeldOut:
        """Compute the losses of every row once, and ask all tasks; the same numbers in every layout. Collective.

        All ranks get the losses, rank 0 the results of tasks. Raises FloatingPointError for a log-probability that is
        not finite.
        """
        with engine.scoring():
            sums = {name: self._sums(engine, feed) for name, feed in self.feeds.items()}
        losses: Losses = {}
        for name, each in sums.items():
            losses |= mean_losses(each, [name])
        return HeldOut(
            losses=losses,
            targets={name: target_counts(each) for name, each in sums.items()},
            rows={name: feed.plan.num_samples for name, feed in self.feeds.items()},
            tasks=self.questions.ask(engine) if self.questions else None,
        )

    def _sums(self, engine: TrainingEngine, feed: Feed) -> Tensor:
        """Sums of one source, float64 [1, 2 modalities, 2 (loss sum, targets)]; rows that fill up have no targets."""
        size = groups.data_parallel_size()
        at_once = self.micro_batch_size * size * self.microbatches_multiple
        numbers = sample_numbers(
            0,
            num_microbatches=-(-feed.plan.num_samples // at_once) * self.microbatches_multiple,
            micro_batch_size=self.micro_batch_size,
            data_parallel_rank=groups.data_parallel_rank(),
            data_parallel_size=size,
        )
        (hosts,) = feed.steps(iter([numbers]))
        return evaluate_step(engine, hosts, num_sources=1)
