#!/usr/bin/env python
"""Share of speech in 10,000 documents of 50 to 20,000 words: mean within 0.002 of 0.3. One JSON line last.

Lengths are evenly spread on a logarithmic scale; spans drawn, and snapped to clauses that end every 4 to 14 words. The
mean is over documents, each with the same weight. Not a timing: the figure is the same on every machine.
"""

import argparse
import json

import numpy as np

from megatron_speech.interleave.spans import sample_spans, snap_spans

RATIO, LIMIT = 0.3, 0.002


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few documents, and nothing is judged")
    short = parser.parse_args().short
    documents = 200 if short else 10_000
    shares = np.empty((documents, 2))
    clauses = np.cumsum(np.random.default_rng(0).integers(4, 15, 4000))
    for number in range(documents):
        words = round(50 * 400 ** (number / (documents - 1)))
        key = f"document-{number}"
        spans = sample_spans(words, ratio=RATIO, seed=0, document_id=key)
        boundaries = np.concatenate([[0], clauses[clauses < words], [words]])
        snapped = snap_spans(spans, boundaries, seed=0, document_id=key) if spans else []
        shares[number] = [sum(end - start for start, end in each) / words for each in (spans, snapped)]
    mean, largest = shares.mean(axis=0), shares.max(axis=0)
    deviation = float(np.abs(mean - RATIO).max())
    result = {
        "name": "ratio",
        "documents": documents,
        "mean_ratio": round(float(mean[0]), 5),
        "mean_ratio_snapped": round(float(mean[1]), 5),
        "largest_ratio": round(float(largest[0]), 4),
        "largest_ratio_snapped": round(float(largest[1]), 4),
        "ratio": round(deviation, 5),
        "limit": LIMIT,
        "better": "lower",
    }
    print(json.dumps(result))
    raise SystemExit(0 if short or deviation <= LIMIT else 1)


if __name__ == "__main__":
    main()
