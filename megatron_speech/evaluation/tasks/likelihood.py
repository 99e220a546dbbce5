"""Which continuation does a model find likelier: multiple choice across modalities, without generating anything.

    text -> text      context                                             | continuation
    text -> speech    context <|begin_of_audio|>                          | codes
    speech -> text    <|begin_of_audio|> codes <|end_of_audio|>           | continuation
    speech -> speech  <|begin_of_audio|> codes                            | codes

as interleaved training lays text and speech out; tokens left of the bar are given, tokens right of it are scored. A
spoken continuation of a spoken context goes on in the same stretch of audio, because two stretches never touch in
training. The opening of the audio is given and its closing not scored: both are the same for every candidate, and
text has no closing either. A written continuation begins with a space, as a text piece after a span does.

Equal scores share the point: a model that cannot tell candidates apart gets chance, not luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from megatron_speech.evaluation.tasks.interface import Request, Scorer
from megatron_speech.sequences.speech_tasks import speech_ids
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO, Modality

PAIRS: tuple[tuple[Modality, Modality], ...] = (
    ("text", "text"),
    ("text", "speech"),
    ("speech", "text"),
    ("speech", "speech"),
)


@dataclass(frozen=True)
class SpokenText:
    """One text, and its speech codes where they are known."""

    text: str
    codes: np.ndarray | None = None


@dataclass(frozen=True)
class Choice:
    """A context with its candidate continuations; the first candidate is the right one."""

    context: SpokenText
    candidates: Sequence[SpokenText]


def request_of(
    model: Scorer, context: SpokenText, continuation: SpokenText, pair: tuple[Modality, Modality]
) -> Request:
    """Ids given and ids scored, for one modality pair."""
    given, asked = pair
    begin, end = (model.vocabulary.special_id(token) for token in (BEGIN_OF_AUDIO, END_OF_AUDIO))
    context_ids = [*model.vocabulary.begin_of_document]
    if given == "text":
        context_ids += [*model.tokenizer.encode(context.text), *([begin] if asked == "speech" else [])]
    else:
        context_ids += [begin, *_speech(model, context), *([end] if asked == "text" else [])]
    if asked == "text":
        return context_ids, list(model.tokenizer.encode(" " + continuation.text.strip()))
    return context_ids, _speech(model, continuation)


def choice_requests(model: Scorer, choices: Sequence[Choice], pair: tuple[Modality, Modality]) -> list[Request]:
    """Requests for every candidate of every choice."""
    return [request_of(model, choice.context, candidate, pair) for choice in choices for candidate in choice.candidates]


def choice_scores(
    num_candidates: Sequence[int], answers: Sequence[np.ndarray], *, per: Literal["token", "continuation"]
) -> list[list[float]]:
    """Log-likelihood (nats, per token or in sum) of every candidate, from the answers to `choice_requests`.

    Args:
        num_candidates: number of candidates of each choice.
    """
    values = (float(answer.sum()) / len(answer) if per == "token" else float(answer.sum()) for answer in answers)
    return [[next(values) for _ in range(count)] for count in num_candidates]


def credit(scores: Sequence[float]) -> float:
    """1 if the first score is above all others, 0 if below any, 1/k where it shares the first place with k - 1."""
    best = max(scores)
    return float(scores[0] == best) / sum(value == best for value in scores)


def _speech(model: Scorer, utterance: SpokenText) -> list[int]:
    assert utterance.codes is not None, f"no speech of {utterance.text[:40]!r}"
    return speech_ids(utterance.codes, vocabulary=model.vocabulary).tolist()
