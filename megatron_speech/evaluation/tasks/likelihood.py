"""Multiple choice by likelihood, across modalities: the model scores continuations and generates nothing.

    text -> text      context                                             | continuation
    text -> speech    context <|begin_of_audio|>                          | codes
    speech -> text    <|begin_of_audio|> codes <|end_of_audio|>           | continuation
    speech -> speech  <|begin_of_audio|> codes                            | codes

Tokens left of the bar are context, tokens right of it are scored. The layouts are those of interleaved training. A
spoken continuation stays in the same speech span as its spoken context, because speech spans never touch in training.
Begin and end of audio are not scored: they are the same for every candidate. A written continuation begins with a
space, as text after a span does.

Candidates with equal scores share the credit, so a model that cannot tell them apart gets chance accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from megatron_speech.evaluation.tasks.interface import Request, Scorer
from megatron_speech.sequences.speech_tasks import continuation_prompt, speech_ids
from megatron_speech.vocabulary import Modality

PAIRS: tuple[tuple[Modality, Modality], ...] = (
    ("text", "text"),
    ("text", "speech"),
    ("speech", "text"),
    ("speech", "speech"),
)

TEMPLATE = "as interleaved documents"
"""Name of the layout above, in protocols."""


@dataclass(frozen=True)
class SpokenText:
    """A text, and its speech codes int [T] if it was spoken."""

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
    """Context ids and scored ids of `continuation` after `context`, for one modality pair."""
    return context_ids(model, context, pair), scored_ids(model, continuation, pair[1])


def context_ids(model: Scorer, context: SpokenText, pair: tuple[Modality, Modality]) -> list[int]:
    """Ids of a context up to the continuation, for one modality pair."""
    given, asked = pair
    ids = model.tokenizer.encode(context.text) if given == "text" else _speech(model, context)
    return continuation_prompt(ids, given=given, asked=asked, vocabulary=model.vocabulary)


def scored_ids(model: Scorer, continuation: SpokenText, asked: Modality) -> list[int]:
    """Ids of a continuation that are scored; a written one begins with a space. ValueError if there are none."""
    written = asked == "text"
    ids = model.tokenizer.encode(" " + continuation.text.strip()) if written else _speech(model, continuation)
    if not ids:
        raise ValueError(f"the {asked} of {continuation.text!r:.60} has no token to score; leave its item out")
    return list(ids)


def choice_requests(model: Scorer, choices: Sequence[Choice], pair: tuple[Modality, Modality]) -> list[Request]:
    """One request per candidate, in the order of `choices` and their candidates."""
    return [request_of(model, choice.context, candidate, pair) for choice in choices for candidate in choice.candidates]


def choice_scores(
    num_candidates: Sequence[int], answers: Sequence[np.ndarray], *, per: Literal["token", "continuation"]
) -> list[list[float]]:
    """Log-likelihoods (nats) of the candidates of each choice, from the answers to `choice_requests`.

    Args:
        num_candidates: number of candidates of each choice.
        per: whether a score is the mean over the tokens of a candidate, or their sum.
    """
    values = (float(answer.sum()) / len(answer) if per == "token" else float(answer.sum()) for answer in answers)
    return [[next(values) for _ in range(count)] for count in num_candidates]


def credit(scores: Sequence[float]) -> float:
    """Credit of the right answer, which comes first: 1/k if k scores, its own among them, are highest, else 0."""
    best = max(scores)
    return float(scores[0] == best) / sum(value == best for value in scores)


def _speech(model: Scorer, utterance: SpokenText) -> list[int]:
    assert utterance.codes is not None, f"no speech of {utterance.text[:40]!r}"
    ids: list[int] = speech_ids(utterance.codes, vocabulary=model.vocabulary).tolist()
    return ids
