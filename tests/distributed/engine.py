"""A small speech-text model and four packed rows, trained by the production engine: for layout tests."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from megatron_speech.config.run.data import DataConfig, LossConfig, SourceConfig
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import OptimizerConfig, PretrainConfig, TrainConfig
from megatron_speech.data.reading.batch import HostBatch
from megatron_speech.model.forward import unwrap
from megatron_speech.parallel import groups
from megatron_speech.training import engine as production
from megatron_speech.training.optimizer import set_rates
from megatron_speech.training.step import accumulate_gradients
from megatron_speech.vocabulary import Vocabulary

ROWS, LENGTH = 4, 32
VOCABULARY = Vocabulary(num_text_ids=300, num_speech_ids=60)
MODEL = ModelConfig(
    num_layers=4, hidden_size=64, ffn_hidden_size=96, num_attention_heads=4, num_query_groups=2, init_method_std=0.1
)
SOURCES = {
    "text": SourceConfig(folder=Path("unused"), task="text", loss=LossConfig(speech_weight=0.5)),
    "paired": SourceConfig(
        folder=Path("unused"), task="dialogue", loss=LossConfig(text_weight=0.25, speech_weight=0.5)
    ),
}
# Adam divides a gradient by its own size: with the usual eps of 1e-8, an element whose gradient is rounding noise takes
# a whole step in a random direction. 1e-4 is below the gradients here (3e-3 in the mean) and far above their noise.
OPTIMIZER = OptimizerConfig(lr=1e-3, weight_decay=0.1, adam_eps=1e-4)
# Ends of documents in each row: one long, many short, a single token, the whole row.
DOCUMENTS = ([20, 32], [3, 8, 9, 30, 32], [1, 32], [32])


def host_batch(row: int) -> HostBatch:
    """One row: text and speech ids, two spans that are no targets, its documents."""
    draw = np.random.default_rng(row)
    ends = [0, *DOCUMENTS[row]]
    return HostBatch(
        tokens=draw.integers(0, VOCABULARY.size, (1, LENGTH + 1)).astype(np.int32),
        cu_seqlens=np.array(ends, np.int32),
        max_seqlen=max(end - start for start, end in pairwise(ends)),
        context=np.array([[0, 3, 9], [0, 15 + row, 17 + row]], np.int32),
        source=np.array([row % 2]),
    )


def micro_batch(row: int) -> dict[str, Any]:
    """The same row as arguments of the bare forward call."""
    host = host_batch(row)
    ids = torch.from_numpy(host.tokens).long()
    cu_seqlens = torch.from_numpy(host.cu_seqlens)
    return {"tokens": ids[:, :-1], "labels": ids[:, 1:], "cu_seqlens": cu_seqlens, "max_seqlen": host.max_seqlen}


class Engine:
    """Model, optimizer and schedule of one rank; `groups.initialize` must have been called."""

    def __init__(self, parallel: ParallelConfig, model: ModelConfig = MODEL, dtype: str = "float32") -> None:
        config = PretrainConfig(
            folder=Path("unused"),
            model=model,
            parallel=parallel,
            precision=PrecisionConfig(dtype=dtype),
            data=DataConfig(seq_length=LENGTH, sources=SOURCES),
            optimizer=OPTIMIZER,
            train=TrainConfig(seed=7, global_batch_size=ROWS),
        )
        self.engine = production.build_engine(config, vocabulary=VOCABULARY, load_base=False)
        self.chunks, self.optimizer = self.engine.chunks, self.engine.optimizer
        self.bare = [unwrap(chunk) for chunk in self.chunks]

    def gradients(self) -> Tensor:
        """Forward and backward over this rank's rows; global loss sums [2 sources, 2 modalities, 2] on every rank."""
        rows = range(groups.data_parallel_rank(), ROWS, groups.data_parallel_size())
        return accumulate_gradients(self.engine, [host_batch(row) for row in rows])

    def step(self) -> float:
        """Update the weights; the gradient's global norm before clipping."""
        set_rates(self.optimizer, lr=OPTIMIZER.lr, weight_decay=OPTIMIZER.weight_decay)
        _ok, norm, _zeros = self.optimizer.step()
        return float(norm)


def use_small_buckets() -> None:
    """Let this process's engines reduce gradients in several buckets, as large models do."""
    production.DistributedDataParallelConfig = partial(production.DistributedDataParallelConfig, bucket_size=20_000)
