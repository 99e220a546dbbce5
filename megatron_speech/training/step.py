"""One optimizer step: micro-batches through megatron-core's schedule, losses as sums, one division, one update.

Rows and ranks hold different numbers of targets. Averaging per-rank means would give more weight to tokens on ranks
with few targets. So every loss here is a sum (`model.loss`). `finalize_model_grads` divides the gradients once, by the
weight of all targets of the global batch (`calculate_per_token_loss`). One small all-reduce adds up the sums by source
and modality for the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from megatron.core.distributed import DistributedDataParallel, finalize_model_grads
from megatron.core.optimizer import MegatronOptimizer
from megatron.core.pipeline_parallel import get_forward_backward_func
from megatron.core.utils import get_model_config
from torch import Tensor, nn

from megatron_speech.data.reading.batch import Batch, HostBatch, to_device
from megatron_speech.model.forward import forward, unwrap
from megatron_speech.model.loss import total_weight, training_loss
from megatron_speech.parallel import groups
from megatron_speech.training.context_split import split_over_context
from megatron_speech.training.optimizer import set_rates
from megatron_speech.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class ParallelModel:
    """A model in the layout of this world, ready to score."""

    chunks: Sequence[nn.Module]
    """This rank's model chunks, bare or wrapped for data parallelism."""
    vocabulary: Vocabulary
    device: torch.device

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Set the chunks to evaluation mode within the context."""
        for chunk in self.chunks:
            chunk.eval()
        try:
            yield
        finally:
            for chunk in self.chunks:
                chunk.train()


@dataclass(frozen=True, kw_only=True)
class TrainingEngine(ParallelModel):
    """Model chunks, optimizer and constants of all steps, made once per run."""

    chunks: Sequence[DistributedDataParallel]
    """This rank's model chunks, wrapped for data parallelism."""
    optimizer: MegatronOptimizer
    loss_weights: Tensor
    """float64 [num_sources, 2 (text, speech)]: weight of a target, by the source's number in the plan."""


def train_step(
    engine: TrainingEngine,
    hosts: Sequence[HostBatch],
    *,
    lr: float,
    weight_decay: float,
    text_frozen: bool = False,
) -> tuple[Tensor, float]:
    """Train on this rank's micro-batches; the same result on every rank. Collective.

    With `text_frozen` only the rows of special and speech ids in embedding and output head are updated.

    Returns:
        sums: float64 [num_sources, 2 modalities, 2 (loss sum, targets)] on the CPU, over the global batch.
        grad_norm: norm of the whole model's gradient, before clipping.
    """
    sums = accumulate_gradients(engine, hosts, text_frozen=text_frozen)
    set_rates(engine.optimizer, lr=lr, weight_decay=0.0 if text_frozen else weight_decay)
    _, grad_norm, _ = engine.optimizer.step()
    return sums, float(grad_norm)


def accumulate_gradients(engine: TrainingEngine, hosts: Sequence[HostBatch], *, text_frozen: bool = False) -> Tensor:
    """First half of `train_step`: leaves reduced gradients in ``main_grad`` and returns `sums`. Collective."""
    for chunk in engine.chunks:
        chunk.zero_grad_buffer()
    engine.optimizer.zero_grad()
    config = get_model_config(engine.chunks[0])
    sums = _no_sums(engine, len(engine.loss_weights))
    config.finalize_model_grads_func = partial(_finalize, engine=engine, sums=sums, text_frozen=text_frozen)
    return _run_schedule(engine, _batches(engine, hosts), sums=sums, weights=engine.loss_weights, forward_only=False)


@torch.no_grad()
def evaluate_step(model: ParallelModel, hosts: Sequence[HostBatch], *, num_sources: int) -> Tensor:
    """Loss sums of held-out micro-batches, in the shape of `train_step`'s, without an update. Collective."""
    return score_batches(model, _batches(model, hosts), num_sources=num_sources)


@torch.no_grad()
def score_batches(model: ParallelModel, batches: Sequence[Batch], *, num_sources: int) -> Tensor:
    """`evaluate_step` of micro-batches that are on the device, each this context parallel rank's share. Collective."""
    sums = _no_sums(model, num_sources)
    return _run_schedule(model, batches, sums=sums, weights=torch.ones_like(sums[..., 0]), forward_only=True)


def _no_sums(model: ParallelModel, num_sources: int) -> Tensor:
    return torch.zeros(num_sources, 2, 2, dtype=torch.float64, device=model.device)


def _batches(model: ParallelModel, hosts: Sequence[HostBatch]) -> list[Batch]:
    """This context parallel rank's share of every micro-batch, on the device."""
    return split_over_context(hosts, [to_device(host, model.vocabulary, model.device) for host in hosts])


def _run_schedule(
    model: ParallelModel, batches: Sequence[Batch], *, sums: Tensor, weights: Tensor, forward_only: bool
) -> Tensor:
    """Run all micro-batches forward (and backward) through the pipeline; returns `sums` over the global batch."""
    get_forward_backward_func()(
        forward_step_func=partial(_forward_step, weights=weights, sums=sums),
        # Each chunk of a virtual pipeline iterates over all micro-batches.
        data_iterator=[iter(batches) for _ in model.chunks],
        model=list(model.chunks),
        num_microbatches=len(batches),
        seq_length=batches[0].tokens.numel() * groups.context_parallel_size(),
        micro_batch_size=1,
        forward_only=forward_only,
    )
    if groups.data_parallel_group().size() > 1:
        dist.all_reduce(sums, group=groups.data_parallel_group())
    if groups.pipeline_group().size() > 1:
        dist.broadcast(sums, src=groups.last_stage_rank(), group=groups.pipeline_group())
    return sums.cpu()


def _forward_step(data: Iterator[Batch], model: nn.Module, *, weights: Tensor, sums: Tensor) -> tuple[Tensor, Any]:
    """Run one micro-batch through one chunk; on the last stage, the schedule calls the returned loss function."""
    batch = next(data)
    output = forward(
        model, tokens=batch.tokens, labels=batch.labels, cu_seqlens=batch.cu_seqlens, max_seqlen=batch.max_seqlen
    )
    return output, partial(_loss, batch=batch, weights=weights, sums=sums)


def _loss(losses: Tensor, *, batch: Batch, weights: Tensor, sums: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """(weighted loss sum to differentiate, number of targets, no data to log); also adds to `sums`."""
    loss, found = training_loss(
        losses,
        loss_mask=batch.loss_mask,
        speech_targets=batch.speech_targets,
        source=batch.source,
        weights=weights,
    )
    sums += found
    return loss, found[..., 1].sum().int(), {}


def _finalize(
    chunks: list[nn.Module],
    num_tokens: Tensor,
    *,
    engine: TrainingEngine,
    sums: Tensor,
    text_frozen: bool,
    **kwargs: Any,
) -> None:
    """Reduce the gradients and divide them by the weight of all targets; with `text_frozen`, zero those of old rows.

    The schedule's `num_tokens` is an int32 count, but weights need not be integers. So `finalize_model_grads` gets this
    rank's total weight. It takes the last stage's, adds it over data and context parallel ranks, and skips a division
    by 0.
    """
    finalize_model_grads(chunks, total_weight(sums, engine.loss_weights), **kwargs)
    if text_frozen:
        for chunk in chunks:
            for name, parameter in unwrap(chunk).named_parameters():
                keep_new_rows(name, parameter, engine.vocabulary)


def keep_new_rows(name: str, parameter: Any, vocabulary: Vocabulary) -> None:
    """Zero a parameter's ``main_grad``, except in the rows of special and speech ids of an embedding or output head."""
    if not name.endswith(("word_embeddings.weight", "output_layer.weight")):
        parameter.main_grad.zero_()
        return
    first_row = groups.tensor_parallel_rank() * len(parameter)
    ids = torch.arange(first_row, first_row + len(parameter), device=parameter.device)
    parameter.main_grad.masked_fill_(vocabulary.text_mask(ids)[:, None], 0)
