#!/usr/bin/env python
"""What a plan of a trillion tokens costs: to build it, and to find the first sample after a resumption anywhere in it.

Seven sources of together 122,070,312 rows of 8192 tokens, in 3,817 shards of which only the folders' shards.json exist.
Building is what a run does at its start: read the indexes, share the rows out, hash, find the first sample. CPU seconds
are medians over turns that visit the positions alternately; memory is the peak over what the process had before. The
last line is JSON.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from megatron_speech.config.run.data import DataConfig, ShareConfig, SourceConfig, StageConfig
from megatron_speech.data.plan.mixture import compile_plan
from megatron_speech.data.plan.plan import Plan
from megatron_speech.data.shards.index import FolderIndex, ShardEntry
from megatron_speech.data.shards.sidecar import sidecar
from megatron_speech.vocabulary import Vocabulary

SEQ_LENGTH, ROWS, ROWS_PER_SHARD = 8192, 122_070_312, 32_000
WEIGHTS = {"en": 0.2, "zh": 0.1, "interleaved-en": 0.4, "interleaved-zh": 0.2, "speech": 0.06, "asr": 0.02, "tts": 0.02}
VOCABULARY = Vocabulary(num_text_ids=151_552, num_speech_ids=16_384)
POSITIONS = {"0": 0.0, "50": 0.5, "99.9": 0.999}
LIMITS = {"build_s": 2.0, "peak_mb": 64.0, "first_sample_ms": 50.0}
LIMIT_RATIO = 1.2


def main() -> None:
    """Measure; judge unless --short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few turns, not judged")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        config = make_sources(Path(name))
        result = measure(config, turns=3 if arguments.short else 41)
    print(json.dumps({"name": "plan_build", "short": arguments.short, **result}))
    good = all(result[key] < limit for key, limit in LIMITS.items()) and result["ratio"] <= LIMIT_RATIO
    if not arguments.short and not good:
        raise SystemExit(1)


def measure(config: DataConfig, *, turns: int) -> dict[str, Any]:
    """Cost of the first build, then of the first sample at each position; `ratio` is the dearest over the cheapest."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    before = memory("VmRSS")
    start = time.process_time()
    plan = build(config)
    plan.locate_many(np.array([0]))
    build_s = time.process_time() - start
    peak_mb = memory("VmHWM") - before
    assert plan.num_samples == ROWS
    costs: dict[str, list[float]] = {name: [] for name in POSITIONS}
    lookups: dict[str, list[float]] = {name: [] for name in POSITIONS}
    for turn in range(turns):  # neighbours of each position: how often a permutation walks is their own chance
        for name, share in POSITIONS.items():
            start = time.process_time()
            plan = build(config)
            opened = time.process_time()
            plan.locate_many(np.array([int(share * ROWS) + 1000 * turn]))
            end = time.process_time()
            costs[name].append(end - start)
            lookups[name].append(end - opened)
    ms = {name: statistics.median(values) * 1e3 for name, values in costs.items()}
    lookup_ms = {name: statistics.median(values) * 1e3 for name, values in lookups.items()}
    return {
        "ratio": round(max(ms.values()) / min(ms.values()), 4),
        "limit": LIMIT_RATIO,
        "better": "lower",
        "ratio_of_lookups": round(max(lookup_ms.values()) / min(lookup_ms.values()), 4),
        "build_s": round(build_s, 4),
        "peak_mb": round(peak_mb, 2),
        "first_sample_ms": round(max(ms.values()), 3),
        "limits": LIMITS,
        "first_sample_ms_at_percent": {name: round(value, 3) for name, value in ms.items()},
        "lookup_ms_at_percent": {name: round(value, 3) for name, value in lookup_ms.items()},
        "rows": ROWS,
        "sources": len(config.sources),
        "shards": sum(len(FolderIndex.load(source.folder).shards) for source in config.sources.values()),
    }


def build(config: DataConfig) -> Plan:
    """The plan of `config` with its identity, as a run starts or resumes."""
    plan = compile_plan(config, vocabulary=VOCABULARY)
    assert plan.fingerprint
    return plan


def make_sources(folder: Path) -> DataConfig:
    """Folders of an index and empty files, each as large as its part of the rows, read in two stages."""
    counts = [round(ROWS * weight) for weight in WEIGHTS.values()]
    for (name, _), rows in zip(WEIGHTS.items(), counts, strict=True):
        (folder / name).mkdir()
        firsts = range(0, rows, ROWS_PER_SHARD)
        shards = [_shard(name, number, min(ROWS_PER_SHARD, rows - first)) for number, first in enumerate(firsts)]
        for shard in shards:
            (folder / name / shard.name).touch()
            sidecar(folder / name, shard.name).touch()
        index = FolderIndex(kind="rows", vocabulary=VOCABULARY.fingerprint, seq_length=SEQ_LENGTH, shards=shards)
        index.save(folder / name)
    half = ROWS // 2
    shares = {name: ShareConfig(weight=weight) for name, weight in WEIGHTS.items()}
    later = {name: ShareConfig(weight=weight) for name, weight in zip(WEIGHTS, reversed(WEIGHTS.values()), strict=True)}
    return DataConfig(
        seq_length=SEQ_LENGTH,
        sources={name: SourceConfig(folder=folder / name, task="text") for name in WEIGHTS},
        stages=[
            StageConfig(tokens=half * SEQ_LENGTH, sources=shares),
            StageConfig(tokens=(ROWS - half) * SEQ_LENGTH, sources=later),
        ],
    )


def _shard(name: str, number: int, rows: int) -> ShardEntry:
    return ShardEntry(
        name=f"{name}-{number:06}.tar",
        items=rows,
        text_tokens=rows * SEQ_LENGTH,
        speech_tokens=0,
        checksum=f"{number:032x}",
    )


def memory(key: str) -> float:
    """A line of /proc/self/status in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


if __name__ == "__main__":
    main()
