"""A small speech-text model, a packed batch, one training step by megatron-core's own machinery: for layout tests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
from megatron.core.pipeline_parallel import get_forward_backward_func
from torch import Tensor

from megatron_speech.config.model import ModelConfig
from megatron_speech.config.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.model.builder import build_model
from megatron_speech.model.forward import forward
from megatron_speech.model.loss import loss_sums, training_loss
from megatron_speech.parallel import groups
from megatron_speech.vocabulary import Vocabulary

ROWS, LENGTH = 4, 32
VOCABULARY = Vocabulary(num_text_ids=300, num_speech_ids=60)
MODEL = ModelConfig(
    num_layers=4, hidden_size=64, ffn_hidden_size=96, num_attention_heads=4, num_query_groups=2, init_method_std=0.1
)
WEIGHTS = torch.tensor([[1.0, 0.5], [0.25, 0.5]])  # of text and speech targets of two sources
# Ends of documents in each row: one long, many short, a single token, the whole row.
DOCUMENTS = ([20, 32], [3, 8, 9, 30, 32], [1, 32], [32])


def micro_batch(row: int) -> dict[str, Any]:
    """One row: text and speech ids, a loss mask with holes, its documents."""
    draw = torch.Generator().manual_seed(row)
    ids = torch.randint(0, VOCABULARY.size, (1, LENGTH + 1), generator=draw)
    ends = [0, *DOCUMENTS[row]]
    return {
        "tokens": ids[:, :-1],
        "labels": ids[:, 1:],
        "loss_mask": (torch.rand(1, LENGTH, generator=draw) > 0.3).float(),
        "source": torch.tensor([row % 2]),
        "cu_seqlens": torch.tensor(ends, dtype=torch.int32),
        "max_seqlen": max(end - start for start, end in pairwise(ends)),
    }


class Engine:
    """Model, optimizer and schedule of one rank; `groups.initialize` must have been called."""

    def __init__(self, parallel: ParallelConfig, model: ModelConfig = MODEL, dtype: str = "float32") -> None:
        precision = PrecisionConfig(dtype=dtype)  # type: ignore[arg-type]
        chunks = build_model(model, vocabulary=VOCABULARY, parallel=parallel, precision=precision, seed=7)
        ddp = DistributedDataParallelConfig(
            grad_reduce_in_fp32=True, use_distributed_optimizer=parallel.use_distributed_optimizer
        )
        self.config = chunks[0].config
        self.config.finalize_model_grads_func = finalize_model_grads
        self.bare = chunks
        self.chunks = [
            DistributedDataParallel(self.config, ddp, chunk, disable_bucketing=index > 0)
            for index, chunk in enumerate(chunks)
        ]
        self.optimizer = get_megatron_optimizer(
            OptimizerConfig(
                lr=0.01,
                weight_decay=0.1,
                clip_grad=1.0,
                bf16=dtype == "bfloat16",
                use_distributed_optimizer=parallel.use_distributed_optimizer,
            ),
            self.chunks,
        )

    def gradients(self) -> Tensor:
        """Forward and backward over this rank's rows; global loss sums [2 sources, 2 modalities, 2] on every rank."""
        for chunk in self.chunks:
            chunk.zero_grad_buffer()
        self.optimizer.zero_grad()
        size, rank = groups.data_parallel_size(), groups.data_parallel_rank()
        rows = range(rank, ROWS, size)
        logged = get_forward_backward_func()(
            forward_step_func=_forward_step,
            data_iterator=[iter([micro_batch(row) for row in rows]) for _ in self.chunks],
            model=self.chunks,
            num_microbatches=len(rows),
            seq_length=LENGTH,
            micro_batch_size=1,
            forward_only=False,
        )
        sums = torch.stack(logged).sum(0) if logged else torch.zeros(2, 2, 2, dtype=torch.float64)
        torch.distributed.broadcast(sums, groups.last_stage_rank(), group=groups.pipeline_group())
        torch.distributed.all_reduce(sums, group=groups.data_parallel_group())
        return sums

    def step(self) -> float:
        """Update the weights; the gradient's global norm before clipping."""
        _ok, norm, _zeros = self.optimizer.step()
        return norm


def _forward_step(batches: Iterator[dict[str, Any]], model: Any) -> tuple[Tensor, Any]:
    batch = next(batches)
    speech = batch["labels"] >= VOCABULARY.first_speech_id
    keys = ("tokens", "labels", "cu_seqlens", "max_seqlen")
    output = forward(model, **{key: batch[key] for key in keys})
    return output, partial(_loss, loss_mask=batch["loss_mask"], speech_targets=speech, source=batch["source"])


def _loss(
    losses: Tensor, *, loss_mask: Tensor, speech_targets: Tensor, source: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    targets = {"loss_mask": loss_mask, "speech_targets": speech_targets, "source": source}
    total, count = training_loss(losses, **targets, weights=WEIGHTS)
    logged = loss_sums(losses, **targets, num_sources=len(WEIGHTS))
    return total, count, logged
