#!/usr/bin/env python
"""What planning costs: one configuration, and a search of all layouts of a 9.5B model on 1,024 H100s.

CPU seconds; the median over turns for a configuration, one turn for the search. `ratio` is the larger share of its
limit. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from megatron_speech.planning.gpus import gpu
from megatron_speech.planning.job import Job
from megatron_speech.planning.search import layouts, predict, search
from megatron_speech.planning.shape import Shape
from megatron_speech.planning.stacks import stack

SHAPE = Shape(layers=40, hidden=4096, ffn=13696, heads=32, groups=2, head_dim=128, vocabulary=168064, qkv_bias=True)
JOB = Job(shape=SHAPE, sequence=8192, gpu=gpu("H100"), stack=stack("megatron"), gpus=1024, global_batch=1024)
LIMITS = {"ms_per_configuration": 50.0, "search_s": 10.0}


def main() -> None:
    """Measure; judge unless --short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few turns, not judged")
    arguments = parser.parse_args()
    result = measure(turns=20 if arguments.short else 400)
    ratio = max(float(result[name]) / limit for name, limit in LIMITS.items())
    line = {"name": "plan_search", "short": arguments.short, "ratio": round(ratio, 4), "limit": 1.0, "better": "lower"}
    print(json.dumps({**line, **result, "limits": LIMITS}))
    if not arguments.short and ratio > 1:
        raise SystemExit(1)


def measure(*, turns: int) -> dict[str, float]:
    """CPU time of a configuration, the first one included, and of a search."""
    costs = []
    candidates = list(layouts(JOB))
    for turn in range(turns):
        start = time.process_time()
        predict(candidates[turn * len(candidates) // turns])
        costs.append(time.process_time() - start)
    start = time.process_time()
    best = search(JOB)[0]
    search_s = time.process_time() - start
    return {
        "ms_per_configuration": round(1e3 * statistics.median(costs), 3),
        "most_ms": round(1e3 * max(costs), 3),
        "search_s": round(search_s, 3),
        "configurations": len(candidates),
        "best_tokens_per_s_per_gpu": round(best.speed),
    }


if __name__ == "__main__":
    main()
