"""Held-out loss by source and modality, over the same rows every time.

Each source is read by its own plan of `logging.validation_rows` samples, so the rows depend on the source alone. Rows
that do not fill a whole micro-batch on every rank are left out, and the log says so.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass

from megatron_speech.config.training import PretrainConfig
from megatron_speech.data.batch import collate
from megatron_speech.data.plan import compile_plan
from megatron_speech.data.reader import Reader
from megatron_speech.parallel import groups
from megatron_speech.training.batches import sample_numbers
from megatron_speech.training.metrics import Losses, mean_losses
from megatron_speech.training.step import Engine, evaluate_step
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Readers of the held-out sources and how their rows are dealt to ranks."""

    readers: dict[str, Reader]
    num_microbatches: int
    micro_batch_size: int

    @classmethod
    def of(cls, config: PretrainConfig, vocabulary: Vocabulary) -> Validation:
        """Open `data.validation`; ValueError where `logging.validation_rows` does not fill one micro-batch per rank."""
        rows, micro = config.logging.validation_rows, config.train.micro_batch_size
        at_once = micro * groups.data_parallel_size()
        if config.parallel.virtual_pipeline_model_parallel_size is not None:
            at_once *= config.parallel.pipeline_model_parallel_size
        if config.data.validation and rows < at_once:
            raise ValueError(
                f"logging.validation_rows={rows} must be at least {at_once}, one micro-batch per rank; raise it"
            )
        used = rows // at_once * at_once
        if config.data.validation and used < rows:
            logger.info("validation reads %d of %d rows: whole micro-batches on every rank", used, rows)
        readers = {}
        for name, source in config.data.validation.items():
            alone = dataclasses.replace(
                config.data, sources={name: dataclasses.replace(source, weight=1.0)}, validation={}
            )
            readers[name] = Reader(compile_plan(alone, vocabulary=vocabulary, num_samples=used))
        return cls(
            readers=readers, num_microbatches=used // (micro * groups.data_parallel_size()), micro_batch_size=micro
        )

    def run(self, engine: Engine) -> Losses:
        """Mean losses {source: {modality: nats per target}}, equal on all ranks. Collective."""
        for chunk in engine.chunks:
            chunk.eval()
        losses: Losses = {}
        for name, reader in self.readers.items():
            numbers = sample_numbers(
                0,
                num_microbatches=self.num_microbatches,
                micro_batch_size=self.micro_batch_size,
                data_parallel_rank=groups.data_parallel_rank(),
                data_parallel_size=groups.data_parallel_size(),
            )
            hosts = [collate(reader.rows(batch)) for batch in numbers]
            losses |= mean_losses(evaluate_step(engine, hosts, num_sources=1), [name])
        for chunk in engine.chunks:
            chunk.train()
        return losses
