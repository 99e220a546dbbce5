"""Held-out loss by source and modality, over the same rows every time.

Each source is read by its own plan, so the rows depend on the source alone: `logging.validation_rows` of them, or all
it has. Rows that do not fill a whole micro-batch on every rank are left out, and the log says so.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from functools import partial

from megatron_speech.config.training import PretrainConfig
from megatron_speech.data.mixture import compile_plan
from megatron_speech.data.plan import Plan
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.training.batches import sample_numbers
from megatron_speech.training.feed import Feed
from megatron_speech.training.metrics import Losses, mean_losses
from megatron_speech.training.step import Engine, evaluate_step
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def validation_plans(config: PretrainConfig, *, vocabulary: Vocabulary, layout: ParallelLayout) -> dict[str, Plan]:
    """The rows of each source of `data.validation`; ValueError for one that does not fill a micro-batch per rank."""
    at_once = config.train.micro_batch_size * layout.data_parallel_size
    if layout.chunks_per_stage > 1:
        at_once *= layout.pipeline_size
    plans = {}
    for name, source in config.data.validation.items():
        sources = {name: dataclasses.replace(source, weight=1.0)}
        alone = dataclasses.replace(config.data, sources=sources, stages=[], validation={})
        compile_alone = partial(compile_plan, alone, vocabulary=vocabulary, section="data.validation")
        available = compile_alone(num_samples=1).sources[0].rows
        wanted = min(config.logging.validation_rows, available)
        used = wanted // at_once * at_once
        if not used:
            raise ValueError(
                f"data.validation.{name}: {wanted} rows do not fill a micro-batch on every rank ({at_once} rows); "
                "use a larger source, raise logging.validation_rows or lower train.micro_batch_size"
            )
        if used < config.logging.validation_rows:
            logger.info("validation %s reads %d of its %d rows", name, used, available)
        plans[name] = compile_alone(num_samples=used)
    return plans


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Feeds of the held-out sources, each with exactly the rows that are evaluated."""

    feeds: dict[str, Feed]
    micro_batch_size: int

    def run(self, engine: Engine) -> Losses:
        """Mean losses {source: {modality: nats per target}}, equal on all ranks. Collective."""
        for chunk in engine.chunks:
            chunk.eval()
        losses: Losses = {}
        size = groups.data_parallel_size()
        for name, feed in self.feeds.items():
            numbers = sample_numbers(
                0,
                num_microbatches=feed.plan.num_samples // (self.micro_batch_size * size),
                micro_batch_size=self.micro_batch_size,
                data_parallel_rank=groups.data_parallel_rank(),
                data_parallel_size=size,
            )
            (hosts,) = feed.steps(iter([numbers]))
            losses |= mean_losses(evaluate_step(engine, hosts, num_sources=1), [name])
        for chunk in engine.chunks:
            chunk.train()
        return losses
