"""Scores of a candidate from the log-probabilities of its tokens, computed without the model.

    sum            log-likelihood of the candidate                                     lm-eval: acc
    per_token      its mean over the tokens of the candidate
    per_character  over the characters of its text, without the space before it        lm-eval: acc_norm
    per_byte       over the bytes of its text in UTF-8                                 lm-eval: acc_bytes
    per_second     over the seconds of its speech
    whole_mean     mean over all tokens, those of the context included                 slamkit
    pmi            what the context adds: log-likelihood minus that without a context  lm-eval: acc_mutual_info

They rank candidates differently, so a result names its score. A score is None where its measure is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CandidateScores:
    """Log-probabilities (nats) of one candidate after its context, and its sizes."""

    tokens: Sequence[float]
    """Of the tokens of the candidate."""
    context: Sequence[float] = ()
    """Of the tokens of the context but the first."""
    alone: Sequence[float] | None = None
    """Of the tokens of the candidate without a context."""
    text: str | None = None
    """Text of the candidate."""
    seconds: float | None = None
    """Length of its speech."""

    @property
    def likelihood(self) -> float:
        """Log-likelihood of the candidate."""
        return float(sum(self.tokens))


Score = Callable[[CandidateScores], float | None]


def per_second(of: CandidateScores) -> float | None:
    """See the module, as for the functions below."""
    return of.likelihood / of.seconds if of.seconds else None


def per_character(of: CandidateScores) -> float | None:
    """Without characters there is no such score."""
    return of.likelihood / len(of.text) if of.text else None


def per_byte(of: CandidateScores) -> float | None:
    """Bytes are those of UTF-8."""
    return of.likelihood / len(of.text.encode()) if of.text else None


def whole_mean(of: CandidateScores) -> float:
    """The first token of the context has no probability."""
    return (float(sum(of.context)) + of.likelihood) / (len(of.context) + len(of.tokens))


def pmi(of: CandidateScores) -> float | None:
    """Pointwise mutual information of candidate and context."""
    return None if of.alone is None else of.likelihood - float(sum(of.alone))


SCORES: dict[str, Score] = {
    "sum": lambda of: of.likelihood,
    "per_token": lambda of: of.likelihood / len(of.tokens),
    "per_character": per_character,
    "per_byte": per_byte,
    "per_second": per_second,
    "whole_mean": whole_mean,
    "pmi": pmi,
}
"""Scores by name, as a protocol names them."""


def credit_of(candidates: Sequence[CandidateScores], right: int, score: str) -> float | None:
    """Credit of a choice: 1/k if k candidates, the right one among them, have the highest score, else 0.

    None if the score of a candidate is unknown.
    """
    values = [SCORES[score](candidate) for candidate in candidates]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return float(values[right] == max(known)) / sum(value == max(known) for value in known)
