"""Turns rows into the tensors of a training step.

The host sends only ids and boundaries, 4 bytes per token. Labels, masks and modality are computed on the device,
because moving them costs far more.

Three rules decide which labels are trained on. The end-of-document id predicts nothing: another document or padding
follows it, and padding repeats that id. The last token of a document that was cut inside a row, before a speech span,
predicts nothing either. Tokens inside a context span are not targets.

Limitation: a document must not contain the end-of-document id; `write_documents` refuses it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from megatron_speech.data.shards.document import Row
from megatron_speech.vocabulary import Vocabulary

_ZERO = np.zeros(1, np.int32)
_NO_SPANS = np.zeros((0, 3), np.int32)


@dataclass(frozen=True, kw_only=True)
class HostBatch:
    """A micro-batch of B rows with S inputs each, in host memory."""

    tokens: NDArray[np.int32]
    """[B, S+1]."""
    cu_seqlens: NDArray[np.int32]
    """Document starts over the flattened B*S inputs, then B*S; every row starts a document."""
    max_seqlen: int
    """Longest document in the batch, in inputs."""
    context: NDArray[np.int32]
    """[n, 3] of (row, start, end): spans of `tokens` that are not targets."""
    source: NDArray[np.int64]
    """[B] index of each row's source in the plan."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A micro-batch on the device with S inputs per row; packed attention sees [B, S] as one sequence of B*S."""

    tokens: torch.Tensor
    """int64 [B, S], inputs."""
    labels: torch.Tensor
    """int64 [B, S], the next tokens."""
    loss_mask: torch.Tensor
    """bool [B, S], true where the label is trained on."""
    speech_targets: torch.Tensor
    """bool [B, S], true where the label is a speech id (special ids count as text)."""
    source: torch.Tensor
    """int64 [B], index of each row's source in the plan."""
    cu_seqlens: torch.Tensor
    """int32 [documents + 1] over the flattened B*S inputs: first 0, strictly increasing, last B*S."""
    max_seqlen: int
    """Length of the longest document, for the attention kernel."""


def collate(rows: Sequence[Row]) -> HostBatch:
    """Stack rows of equal length into a micro-batch."""
    assert rows, "a micro-batch needs at least one row"
    seq_length = len(rows[0].tokens) - 1
    ends = [row.cu_seqlens[1:] + index * seq_length for index, row in enumerate(rows)]
    cu_seqlens = np.concatenate([_ZERO, *ends], dtype=np.int32)
    context = [
        np.concatenate([np.full((len(row.context), 1), index, np.int32), row.context], axis=1)
        for index, row in enumerate(rows)
        if len(row.context)
    ]
    return HostBatch(
        tokens=np.concatenate([row.tokens for row in rows], dtype=np.int32).reshape(len(rows), -1),
        cu_seqlens=cu_seqlens,
        max_seqlen=int(np.diff(cu_seqlens).max()),
        context=np.concatenate([_NO_SPANS, *context], dtype=np.int32),
        source=np.array([row.source for row in rows], np.int64),
    )


def to_words(hosts: Sequence[HostBatch]) -> NDArray[np.int32]:
    """Encode micro-batches of equal row length as one int32 array, to send them to another rank."""
    words = [np.array([len(hosts)], np.int32)]
    for host in hosts:
        shape = [*host.tokens.shape, len(host.cu_seqlens), len(host.context), host.max_seqlen]
        parts = (host.tokens, host.cu_seqlens, host.context, host.source)
        words += [np.array(shape, np.int32), *(part.astype(np.int32, copy=False).reshape(-1) for part in parts)]
    return np.concatenate(words)


def from_words(words: NDArray[np.int32]) -> list[HostBatch]:
    """Decode the array of `to_words`; the batches are views of `words`."""
    at = 1

    def part(size: int) -> NDArray[np.int32]:
        nonlocal at
        at += size
        return words[at - size : at]

    hosts = []
    for _ in range(int(words[0])):
        rows, width, documents, spans, longest = part(5).tolist()
        hosts.append(
            HostBatch(
                tokens=part(rows * width).reshape(rows, width),
                cu_seqlens=part(documents),
                context=part(spans * 3).reshape(spans, 3),
                source=part(rows).astype(np.int64),
                max_seqlen=longest,
            )
        )
    assert at == len(words), f"{at} of {len(words)} words"
    return hosts


def to_device(host: HostBatch, vocabulary: Vocabulary, device: torch.device) -> Batch:
    """Move ids and boundaries to `device`, and compute labels and masks there."""
    ids = torch.from_numpy(host.tokens).to(device, non_blocking=True)
    tokens, labels = ids[:, :-1].long(), ids[:, 1:].long()
    loss_mask = tokens != vocabulary.end_of_document
    ends = host.cu_seqlens[host.cu_seqlens % tokens.shape[1] > 0] - 1  # a row's last input does have a label
    loss_mask.view(-1)[torch.from_numpy(ends).to(device).long()] = False
    if len(host.context):
        loss_mask &= ~_inside_spans(torch.from_numpy(host.context).to(device), ids.shape)[:, 1:]
    return Batch(
        tokens=tokens,
        labels=labels,
        loss_mask=loss_mask,
        speech_targets=vocabulary.speech_mask(labels),
        source=torch.from_numpy(host.source).to(device),
        cu_seqlens=torch.from_numpy(host.cu_seqlens).to(device),
        max_seqlen=host.max_seqlen,
    )


def take(batch: Batch, positions: torch.Tensor, *, cu_seqlens: torch.Tensor, max_seqlen: int) -> Batch:
    """Select positions of a micro-batch, as a micro-batch with one token per row, so that each keeps its source.

    Args:
        positions: int64 [P] into the flattened B*S inputs. -1 is padding, filled with zeros and not a target.
        cu_seqlens, max_seqlen: Documents of the result, or of the whole that the result is a part of.
    """
    padding = positions < 0

    def taken(value: torch.Tensor) -> torch.Tensor:
        per_token = value if value.dim() == 2 else value[:, None].expand_as(batch.tokens)
        found = per_token.reshape(-1)[positions.clamp(min=0)].masked_fill(padding, 0)
        return found[:, None] if value.dim() == 2 else found

    values: dict[str, Any] = {"cu_seqlens": cu_seqlens, "max_seqlen": max_seqlen}
    others = {field.name for field in dataclasses.fields(batch)} - values.keys()
    return dataclasses.replace(batch, **values | {name: taken(getattr(batch, name)) for name in others})


def _inside_spans(spans: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """bool of `shape` [B, S+1], true inside any of the `spans` [n, 3] of (row, start, end)."""
    rows, starts, ends = spans.long().unbind(1)
    steps = torch.zeros(shape[0], shape[1] + 1, dtype=torch.int32, device=spans.device)
    one = torch.ones_like(rows, dtype=torch.int32)
    steps.index_put_((rows, starts), one, accumulate=True)
    steps.index_put_((rows, ends), -one, accumulate=True)
    return steps.cumsum(1)[:, :-1] > 0
