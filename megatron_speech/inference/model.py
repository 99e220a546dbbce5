"""An exported language model with its tokenizer and vocabulary; scores continuations of a context.

Requests with the same context share one row: the context, then every continuation. Each continuation attends to the
context and itself only, so a four-choice question reads its context once. Equal continuations are read once, so they
have equal scores to the bit. Logits are computed for continuation tokens only, in slices: a tensor of batch x length x
vocabulary never exists. Cost: an attention mask quadratic in length.

Shapes: B rows, S tokens of a row, N continuation tokens, D width, V vocabulary.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from megatron_speech.grouping import grouped_by_padded_size
from megatron_speech.platform.device import resolve_device
from megatron_speech.platform.number_format import Dtype, DtypeSetting, resolve_dtype
from megatron_speech.progress import Progress
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

_REFUSALS = (StrictDataclassError, SafetensorError)
TOKENS_PER_BATCH = 4096
LOGIT_ROWS = 512  # hidden states per slice of logits: 512 x 50k float32 is 100 MB


Measure = Callable[[Tensor, Tensor], Tensor]
"""From logits [N, V] and target ids [N] to what is told of each target: [N] or [N, ...]."""


def log_probabilities(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """Log-probability (nats) of each target, float32 [N]."""
    return torch.log_softmax(logits_NV.float(), dim=-1).gather(1, targets_N[:, None])[:, 0]


def log_probabilities_and_choices(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """Float32 [N, 2]: log-probability of each target, and 1 where it is the most likely id."""
    chosen_N = (logits_NV.argmax(dim=-1) == targets_N).float()
    return torch.stack([log_probabilities(logits_NV, targets_N), chosen_N], dim=1)


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """A Hugging Face folder written by `convert_to_hf`, ready to run."""

    network: PreTrainedModel
    """Decoder in evaluation mode; its `lm_head` has one row per id of the vocabulary."""
    tokenizer: TextTokenizer
    """Text to text ids."""
    vocabulary: Vocabulary
    """Id space of the model."""

    @classmethod
    def load(cls, folder: Path, *, dtype: Dtype = "float32", device: str = "cpu") -> LanguageModel:
        """Read the Hugging Face folder `folder`.

        Raises FileNotFoundError if it has no config.json, and ValueError if the model does not load or its size is not
        that of vocabulary.json.
        """
        vocabulary = read_vocabulary(folder)
        with _readable(folder), Progress(f"load {folder}", late=True):
            network = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), local_files_only=True)
        torch.nn.Module.to(network, device)  # in place; transformers' own `to` is not typed
        return cls(network=network.eval(), tokenizer=TextTokenizer.load(folder), vocabulary=vocabulary)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.network.device

    @property
    def max_positions(self) -> int:
        """Longest sequence, prompt and new tokens together, that the positions of the model reach."""
        return int(self.network.config.max_position_embeddings)

    @torch.inference_mode()
    def token_log_probabilities(
        self,
        requests: Sequence[tuple[Sequence[int], Sequence[int]]],
        *,
        tokens_per_batch: int = TOKENS_PER_BATCH,
        progress: str | None = None,
        measure: Measure = log_probabilities,
    ) -> list[np.ndarray]:
        """Log-probabilities (nats) of the continuation tokens of each (context ids, continuation ids), float64 [n].

        An empty continuation has none. `progress` says what is done, None shows nothing. `measure` may take something
        else of the logits.
        Raises ValueError for an empty context: the first token of a row has no prediction.
        """
        for number, (context, _) in enumerate(requests):
            if not context:
                raise ValueError(f"likelihood: request {number} has an empty context; give each at least one id")
        results: list[np.ndarray] = [np.empty(0)] * len(requests)
        shown = None if progress is None else Progress(progress, unit="requests", total=len(requests))
        with shown or nullcontext():
            for batch in _batches(requests, tokens_per_batch):
                for row, scores in zip(batch, self._score(batch, measure), strict=True):
                    for numbers, score in zip(row.continuations.values(), scores, strict=True):
                        for number in numbers:
                            results[number] = score
                    if shown:
                        shown.add(len(row.requests))
        return results

    def _score(self, rows: Sequence[_Row], measure: Measure) -> list[list[np.ndarray]]:
        """What is measured of all continuation tokens, by row and continuation, from one forward pass."""
        inputs = _Inputs.of(rows)
        hidden_BSD = self.network.get_decoder()(
            input_ids=inputs.tokens_BS.to(self.device),
            position_ids=inputs.positions_BS.to(self.device),
            attention_mask=inputs.visible_B1SS.to(self.device),
            use_cache=False,
        ).last_hidden_state
        hidden_ND = hidden_BSD.flatten(0, 1)[inputs.predictors_N.to(self.device)]
        targets_N = inputs.targets_N.to(self.device)
        measured = torch.cat(
            [
                measure(self.network.lm_head(hidden), target)
                for hidden, target in zip(hidden_ND.split(LOGIT_ROWS), targets_N.split(LOGIT_ROWS), strict=True)
            ]
        )
        pieces = iter(measured.double().cpu().split([len(ids) for row in rows for ids in row.continuations]))
        return [[next(pieces).numpy() for _ in row.continuations] for row in rows]


@dataclass(frozen=True, kw_only=True)
class PlannedBatch:
    """One forward pass of `LanguageModel.token_log_probabilities`."""

    requests: list[int]
    """Numbers of its requests; asked alone, they make the same batch."""
    read: int
    """Tokens that the model reads; a context that continuations share counts once."""
    padded: int
    """Tokens with padding."""
    scored: int
    """Tokens whose log-probability is computed."""


def planned_batches(requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[PlannedBatch]:
    """The forward passes that score `requests`, in order, without a model."""
    return [
        PlannedBatch(
            requests=[number for row in batch for number in row.requests],
            read=sum(map(len, batch)),
            padded=len(batch) * max(map(len, batch)),
            scored=sum(len(ids) for row in batch for ids in row.continuations),
        )
        for batch in _batches(requests, TOKENS_PER_BATCH)
    ]


def loaded_model(folder: Path, *, dtype: DtypeSetting, device: str) -> tuple[LanguageModel, Dtype]:
    """Load a model as settings `dtype` and `device` say, either may be auto; returns its number format too.

    Logs the reason for the format. Raises as `LanguageModel.load`, and ValueError for a GPU that is not there.
    """
    place = resolve_device(device)
    resolved, reason = resolve_dtype(dtype, key="dtype", gpu=place != "cpu")
    logger.info(reason)
    return LanguageModel.load(folder, dtype=resolved, device=place), resolved


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read the vocabulary of a Hugging Face folder without its weights, to check inputs before loading the model.

    Raises as `LanguageModel.load`.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no config.json: not a Hugging Face folder; run megatron-speech convert_to_hf first"
        )
    vocabulary = Vocabulary.load(folder)
    with _readable(folder):
        vocab_size = AutoConfig.from_pretrained(folder, local_files_only=True).vocab_size
    if vocab_size != vocabulary.size:
        raise ValueError(
            f"{folder}: config.json has vocab_size={vocab_size} but vocabulary.json has {vocabulary.size} ids; "
            "export the checkpoint again"
        )
    return vocabulary


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Turn errors of transformers about the files of `folder` into a ValueError that names `folder`."""
    try:
        yield
    except (*_REFUSALS, OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{folder} cannot be read as a model ({error}); restore it, or export it again") from error


@dataclass(frozen=True)
class _Row:
    """One context and the continuations to score after it, each with the numbers of the requests that ask for it."""

    context: tuple[int, ...]
    continuations: dict[tuple[int, ...], list[int]]

    @property
    def requests(self) -> list[int]:
        return [number for numbers in self.continuations.values() for number in numbers]

    def __len__(self) -> int:
        return len(self.context) + sum(map(len, self.continuations))


def _batches(requests: Sequence[tuple[Sequence[int], Sequence[int]]], tokens_per_batch: int) -> Iterator[list[_Row]]:
    return grouped_by_padded_size(_rows_sharing_context(requests), length=len, max_size=tokens_per_batch)


def _rows_sharing_context(requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[_Row]:
    """Group requests by equal context, longest row first, so that a batch holds similar lengths."""
    rows: dict[tuple[int, ...], _Row] = {}
    for number, (context, continuation) in enumerate(requests):
        if continuation:
            row = rows.setdefault(tuple(context), _Row(tuple(context), {}))
            row.continuations.setdefault(tuple(continuation), []).append(number)
    return sorted(rows.values(), key=len, reverse=True)


@dataclass(frozen=True)
class _Inputs:
    """Padded tensors of a batch of rows; the outputs at the flat positions `predictors_N` predict `targets_N`."""

    tokens_BS: Tensor
    positions_BS: Tensor
    visible_B1SS: Tensor
    predictors_N: Tensor
    targets_N: Tensor

    @classmethod
    def of(cls, rows: Sequence[_Row]) -> _Inputs:
        length = max(len(row) for row in rows)
        tokens = torch.zeros(len(rows), length, dtype=torch.long)
        positions = torch.zeros(len(rows), length, dtype=torch.long)
        # Segment 0 is the context, n the n-th continuation, -1 padding. Padding attends to itself: no empty softmax.
        segments = torch.full((len(rows), length), -1)
        predictors: list[int] = []
        targets: list[int] = []
        # Lay out each row: the context, then its continuations, whose positions all start after the context.
        for b, row in enumerate(rows):
            end = len(row.context)
            tokens[b, :end] = torch.tensor(row.context)
            positions[b, :end] = torch.arange(end)
            segments[b, :end] = 0
            for segment, ids in enumerate(row.continuations, start=1):
                start, end = end, end + len(ids)
                tokens[b, start:end] = torch.tensor(ids)
                positions[b, start:end] = torch.arange(len(row.context), len(row.context) + len(ids))
                segments[b, start:end] = segment
                first = b * length
                predictors += [first + len(row.context) - 1, *range(first + start, first + end - 1)]
                targets += ids
        # Attention mask: a token sees its own segment and the context, up to itself.
        same = segments[:, :, None] == segments[:, None, :]
        context = (segments[:, None, :] == 0) & (segments[:, :, None] > 0)
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        return cls(
            tokens, positions, ((same | context) & causal)[:, None], torch.tensor(predictors), torch.tensor(targets)
        )
