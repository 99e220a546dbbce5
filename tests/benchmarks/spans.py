#!/usr/bin/env python
"""Cost of the span sampler by document length: CPU microseconds per word, medians over rounds. One JSON line last."""

import argparse
import json
import statistics
import time

from megatron_speech.interleave.spans import sample_spans

LENGTHS = (100, 1_000, 5_000, 20_000)
ROUNDS, WORDS_PER_ROUND = 15, 40_000
LIMIT_MICROSECONDS, LIMIT_RATIO = 1.0, 1.0
"""Of the slowest length; of the longest document over the shortest, which a quadratic sampler exceeds."""


def microseconds_per_word(num_words: int, first: int) -> float:
    """One round over enough documents of `num_words` to be measurable."""
    documents = max(2, WORDS_PER_ROUND // num_words)
    start = time.process_time()
    for number in range(first, first + documents):
        sample_spans(num_words, seed=0, document_id=f"document-{number}")
    return (time.process_time() - start) / (documents * num_words) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="one round, and nothing is judged")
    short = parser.parse_args().short
    rounds: dict[int, list[float]] = {num_words: [] for num_words in LENGTHS}
    for number in range(1 if short else ROUNDS):  # lengths interleaved, so that load on the machine meets all alike
        for num_words in LENGTHS:
            rounds[num_words].append(microseconds_per_word(num_words, first=number * 1_000))
    medians = {num_words: round(statistics.median(values), 4) for num_words, values in rounds.items()}
    for num_words, value in medians.items():
        print(f"{num_words:>6} words: {value:7.3f} us/word")
    ratio = medians[LENGTHS[-1]] / medians[LENGTHS[0]]
    result = {
        "name": "spans",
        "microseconds_per_word": max(medians.values()),
        "limit_microseconds_per_word": LIMIT_MICROSECONDS,
        "by_words": medians,
        "ratio": round(ratio, 4),
        "limit": LIMIT_RATIO,
        "better": "lower",
    }
    print(json.dumps(result))
    missed = max(medians.values()) > LIMIT_MICROSECONDS or ratio > LIMIT_RATIO
    raise SystemExit(1 if missed and not short else 0)


if __name__ == "__main__":
    main()
