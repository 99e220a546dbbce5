"""Overall scores as published tables compute them from the scores of their sets, in percent.

>>> mean_of_sets([15.9, 50.7, 26.5])  # a row of the three-set table of arXiv 2411.17607
31.03
"""

from __future__ import annotations

from collections.abc import Sequence

RATING = 20
"""Percent per point of a rating from 1 to 5."""
OPEN_AUDIO_BENCH_ITEMS = {
    "alpaca_eval": 199,
    "llama_questions": 300,
    "reasoning_qa": 202,
    "trivia_qa": 1000,
    "web_questions": 1000,
}
"""Items by set of OpenAudioBench."""


def mean_of_sets(scores: Sequence[float]) -> float:
    """Mean over sets, whatever their sizes, to two decimals."""
    return round(sum(scores) / len(scores), 2)


def mean_with_ratings(ratings: Sequence[float], percentages: Sequence[float]) -> float:
    """VoiceBench's overall score: the mean of ratings, of 5 points, and of percentages, with equal weights."""
    return mean_of_sets([*(RATING * rating for rating in ratings), *percentages])


def mean_with_quality(scores: Sequence[float], opinion_scores: Sequence[float]) -> float:
    """UltraEval-Audio's score of generated speech: the mean of sets, and of one more, the mean of opinion scores."""
    quality = sum(opinion_scores) / len(opinion_scores)
    return mean_with_ratings([quality], scores)


def mean_of_utterance_rates(edits: Sequence[int], words: Sequence[int]) -> float:
    """seed-tts-eval's error rate: the mean of the rates of utterances, of which short ones count as much as long ones.

    Every utterance counts, also one that was not synthesised: all its words are errors.
    """
    rates = [edit / word for edit, word in zip(edits, words, strict=True)]
    return sum(rates) / len(rates)
