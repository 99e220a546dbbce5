"""Scores continuations with a model in any parallel layout: log-probabilities of single tokens.

A request is (context ids, scored ids). Requests are packed as documents into micro-batches. Training adds up the loss
sums of each source over ranks. Here every scored token counts as a source, so these sums are losses of single tokens.
All ranks get all of them. The only collective is that of a validation.

Cost: requests with the same context do not share it; `inference.model.LanguageModel` does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.distributed.save_load import load_model
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.data.reading.batch import Batch, HostBatch, to_device
from megatron_speech.grouping import grouped, grouped_by_size
from megatron_speech.model.builder import build_model
from megatron_speech.parallel import groups
from megatron_speech.platform.device import device
from megatron_speech.progress import Progress
from megatron_speech.training.context_split import split_over_context
from megatron_speech.training.step import ParallelModel, score_batches
from megatron_speech.vocabulary import Vocabulary

Request = tuple[Sequence[int], Sequence[int]]
MICROBATCHES = 8
"""Micro-batches of a rank that pass through the pipeline together."""
_UNIT = 128
"""The length of a micro-batch is a multiple of it, as matrix products in FP8 need."""
_NO_SPANS = np.zeros((0, 3), np.int32)


def load_scored_model(
    checkpoint: Path, vocabulary: Path, *, parallel: ParallelConfig, precision: PrecisionConfig
) -> ParallelModel:
    """Load a checkpoint of any layout into this world's; call `parallel.groups.initialize` first. Collective.

    `vocabulary` is the vocabulary folder of the run. Raises FileNotFoundError or ValueError if one is damaged, or if
    they do not belong together.
    """
    shape, ids = folders.read_model_config(checkpoint), Vocabulary.load(vocabulary)
    chunks = build_model(shape, vocabulary=ids, parallel=parallel, precision=precision)
    load_model(checkpoint, chunks, model=shape, vocabulary=ids)
    return ParallelModel(chunks=[chunk.to(device()) for chunk in chunks], vocabulary=ids, device=device())


def token_log_probabilities(
    model: ParallelModel, requests: Sequence[Request], *, tokens_per_batch: int, progress: str | None = None
) -> list[np.ndarray]:
    """Log-probabilities (nats) of the scored ids of each request, float64 [n], on every rank. Collective.

    Args:
        requests: the same on all ranks; no context and no continuation is empty.
        tokens_per_batch: tokens of a micro-batch; a longer request has one of its own.
        progress: says what is done, to be shown; None shows nothing.
    """
    for number, (context, scored) in enumerate(requests):
        if not context or not scored:
            raise ValueError(f"likelihood: request {number} has an empty context or continuation; give at least one id")
    order = sorted(range(len(requests)), key=lambda number: _length(requests[number]), reverse=True)
    packs = grouped_by_size(order, size=lambda number: _length(requests[number]), max_size=tokens_per_batch)
    results: list[np.ndarray] = [np.empty(0)] * len(requests)
    shown = None if progress is None else Progress(progress, unit="requests", total=len(requests))
    with shown or nullcontext(), model.scoring():
        for together in grouped(packs, _microbatches(model) * groups.data_parallel_size()):
            numbers = [number for pack in together for number in pack]
            found = _score(model, [[requests[number] for number in pack] for pack in together])
            for number, values in zip(numbers, found, strict=True):
                results[number] = values
            if shown:
                shown.add(len(numbers))
    return results


def _score(model: ParallelModel, packs: Sequence[Sequence[Request]]) -> list[np.ndarray]:
    """Log-probabilities of the scored ids of all requests in `packs`, in their order, from one pass of all ranks."""
    scored = [[len(ids) for _, ids in pack] for pack in packs]
    targets = sum(map(sum, scored))
    first = [0, *accumulate(map(sum, scored))]
    longest = max(sum(map(_length, pack)) for pack in packs)
    unit = _UNIT * groups.tensor_parallel_size()
    length = -(-longest // unit) * unit
    # This data parallel rank's packs; all ranks have equally many, so some are empty.
    ranks, multiple = groups.data_parallel_size(), _multiple(model)
    count = -(-len(packs) // (ranks * multiple)) * multiple
    own = range(groups.data_parallel_rank(), count * ranks, ranks)
    made = [
        _micro_batch(model, packs[at] if at < len(packs) else (), first=first[min(at, len(packs))], length=length)
        for at in own
    ]
    hosts, batches = zip(*made, strict=True)
    sums = score_batches(model, split_over_context(hosts, batches), num_sources=targets)
    losses, counts = sums.sum(1).unbind(-1)
    assert bool((counts == 1).all()), "every scored id is the target of one rank"
    ends = list(accumulate(count for pack in scored for count in pack))
    return np.split(-losses.numpy(), ends[:-1])


def _micro_batch(model: ParallelModel, pack: Sequence[Request], *, first: int, length: int) -> tuple[HostBatch, Batch]:
    """A micro-batch of `length` tokens, each a row: the requests of `pack`, then a document of padding.

    Its targets are numbered from `first` on.
    """
    tokens = np.zeros((length, 2), np.int32)
    is_target = np.zeros((length, 1), bool)
    source = np.zeros(length, np.int64)
    ends = [0]
    for context, scored in pack:
        ids = np.array([*context, *scored], np.int32)
        start, end = ends[-1], ends[-1] + len(ids) - 1
        tokens[start:end, 0], tokens[start:end, 1] = ids[:-1], ids[1:]
        is_target[end - len(scored) : end] = True
        source[end - len(scored) : end] = np.arange(first, first + len(scored))
        first += len(scored)
        ends.append(end)
    cu_seqlens: NDArray[np.int32] = np.array([*ends, *([length] if ends[-1] < length else [])], np.int32)
    host = HostBatch(
        tokens=tokens,
        cu_seqlens=cu_seqlens,
        max_seqlen=int(np.diff(cu_seqlens).max()),
        context=_NO_SPANS,
        source=source,
    )
    batch = to_device(host, model.vocabulary, model.device)
    # All scored ids count, also those after an id that ends documents.
    return host, dataclasses.replace(batch, loss_mask=torch.from_numpy(is_target).to(model.device))


def _length(request: Request) -> int:
    """Number of tokens that the model reads of a request."""
    context, scored = request
    return len(context) + len(scored) - 1


def _multiple(model: ParallelModel) -> int:
    """An interleaved pipeline needs a multiple of its number of stages; 1 for any other layout."""
    return groups.pipeline_group().size() if len(model.chunks) > 1 else 1


def _microbatches(model: ParallelModel) -> int:
    """Micro-batches of a rank in one pass."""
    multiple = _multiple(model)
    return max(MICROBATCHES // multiple, 1) * multiple
