"""An exported language model with its tokenizer and vocabulary, and the likelihood it gives to continuations.

Requests that share a context are scored in one row: context, then every continuation, each seeing the context and
itself only (a four-choice question costs one context, not four). Logits are computed for continuation tokens alone,
in slices, so that a batch never holds batch x length x vocabulary numbers. Price: an explicit attention mask,
quadratic in length.

Shapes: B rows, S tokens of a row, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from tqdm import tqdm
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from megatron_speech.grouping import grouped_by_padded_size
from megatron_speech.platform.number_format import Dtype
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

_REFUSALS = (StrictDataclassError, SafetensorError)
LOGIT_ROWS = 512  # hidden states turned into logits at a time: 512 x 50k float32 is 100 MB


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """A Hugging Face folder written by tools/convert_to_hf.py, ready to run."""

    network: PreTrainedModel
    """Decoder in evaluation mode; its `lm_head` has one row per id of the vocabulary."""
    tokenizer: TextTokenizer
    """Text to text ids."""
    vocabulary: Vocabulary
    """Meaning of every id."""

    @classmethod
    def load(cls, folder: Path, *, dtype: Dtype = "float32", device: str = "cpu") -> LanguageModel:
        """Read `folder`; ValueError when embedding and vocabulary disagree, FileNotFoundError when it is absent."""
        vocabulary = read_vocabulary(folder)
        with _readable(folder):
            network = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), local_files_only=True)
        torch.nn.Module.to(network, device)  # in place; transformers' own `to` is not typed
        return cls(network=network.eval(), tokenizer=TextTokenizer.load(folder), vocabulary=vocabulary)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.device

    @torch.inference_mode()
    def token_log_probabilities(
        self,
        requests: Sequence[tuple[Sequence[int], Sequence[int]]],
        *,
        tokens_per_batch: int = 4096,
        progress: bool = False,
    ) -> list[np.ndarray]:
        """Log-probability (nats) of every continuation token of each (context ids, continuation ids), float64 [n].

        Contexts must hold at least one id (the first token of a row has no prediction), continuations too.
        """
        for number, (context, continuation) in enumerate(requests):
            if not context or not continuation:
                raise ValueError(
                    f"likelihood: request {number} has an empty context or continuation; give each at least one id"
                )
        results: list[np.ndarray] = [np.empty(0)] * len(requests)
        rows = _rows_sharing_context(requests)
        bar = tqdm(total=len(requests), desc="likelihood", unit="request", disable=not progress)
        for batch in grouped_by_padded_size(rows, length=len, max_size=tokens_per_batch):
            for row, scores in zip(batch, self._score(batch), strict=True):
                for (number, _), score in zip(row.continuations, scores, strict=True):
                    results[number] = score
                bar.update(len(row.continuations))
        bar.close()
        return results

    def _score(self, rows: Sequence[_Row]) -> list[list[np.ndarray]]:
        """Log-probabilities of the tokens of every continuation of every row, in one forward pass."""
        inputs = _Inputs.of(rows)
        hidden_BSD = self.network.get_decoder()(
            input_ids=inputs.tokens_BS.to(self.device),
            position_ids=inputs.positions_BS.to(self.device),
            attention_mask=inputs.visible_B1SS.to(self.device),
            use_cache=False,
        ).last_hidden_state
        hidden_ND = hidden_BSD.flatten(0, 1)[inputs.predictors_N.to(self.device)]
        targets_N = inputs.targets_N.to(self.device)
        log_probs = torch.cat(
            [
                torch.log_softmax(self.network.lm_head(hidden).float(), dim=-1).gather(1, target[:, None])[:, 0]
                for hidden, target in zip(hidden_ND.split(LOGIT_ROWS), targets_N.split(LOGIT_ROWS), strict=True)
            ]
        )
        pieces = iter(log_probs.double().cpu().split([len(ids) for row in rows for _, ids in row.continuations]))
        return [[next(pieces).numpy() for _ in row.continuations] for row in rows]


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of a Hugging Face folder without its weights; errors as of `LanguageModel.load`.

    What a model is to read can so be checked before the model itself is loaded.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no config.json: not a Hugging Face folder; run tools/convert_to_hf.py first"
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
    """ValueError naming the folder where transformers refuses what stands in its files."""
    try:
        yield
    except (*_REFUSALS, OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{folder} cannot be read as a model ({error}); restore it, or export it again") from error


@dataclass(frozen=True)
class _Row:
    """One context and the continuations to score after it, each with its request number."""

    context: tuple[int, ...]
    continuations: list[tuple[int, tuple[int, ...]]]

    def __len__(self) -> int:
        return len(self.context) + sum(len(ids) for _, ids in self.continuations)


def _rows_sharing_context(requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[_Row]:
    """Requests grouped by equal context, longest row first (so that a batch holds like lengths)."""
    rows: dict[tuple[int, ...], _Row] = {}
    for number, (context, continuation) in enumerate(requests):
        key = tuple(context)
        rows.setdefault(key, _Row(key, [])).continuations.append((number, tuple(continuation)))
    return sorted(rows.values(), key=len, reverse=True)


@dataclass(frozen=True)
class _Inputs:
    """Padded tensors of a batch of rows; `predictors_N` are flat positions whose output predicts `targets_N`."""

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
        # Segment 0 is the context, n the n-th continuation; padding is a segment of its own, so no row is masked whole.
        segments = torch.full((len(rows), length), -1)
        predictors: list[int] = []
        targets: list[int] = []
        for b, row in enumerate(rows):
            end = len(row.context)
            tokens[b, :end] = torch.tensor(row.context)
            positions[b, :end] = torch.arange(end)
            segments[b, :end] = 0
            for segment, (_, ids) in enumerate(row.continuations, start=1):
                start, end = end, end + len(ids)
                tokens[b, start:end] = torch.tensor(ids)
                positions[b, start:end] = torch.arange(len(row.context), len(row.context) + len(ids))
                segments[b, start:end] = segment
                first = b * length
                predictors += [first + len(row.context) - 1, *range(first + start, first + end - 1)]
                targets += ids
        same = segments[:, :, None] == segments[:, None, :]
        context = (segments[:, None, :] == 0) & (segments[:, :, None] > 0)
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        return cls(
            tokens, positions, ((same | context) & causal)[:, None], torch.tensor(predictors), torch.tensor(targets)
        )
