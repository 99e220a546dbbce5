#!/usr/bin/env python
"""Packing: tokens per core-second of both passes together, how full rows are, and memory while the corpus grows.

Corpora are documents of log-normal lengths, 1,000 tokens in the mean (also 100, not judged). Every packing runs in a
process of its own, which states its CPU time, system calls included, and its peak memory. Each is done several times
and must give the same bytes. Memory: the setting is half of the smaller corpus, and the larger one is ten times as
large; peaks are compared whole, and their growth over the interpreter with its libraries is stated beside them. The
last line is JSON.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import hashlib
import json
import logging
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.pack import pack_documents
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.vocabulary import Vocabulary

LIMIT_MILLION_TOKENS, LIMIT_FILL, LIMIT_MEMORY = 20.0, 0.98, 1.2
VOCABULARY = Vocabulary(num_text_ids=32_000, num_speech_ids=16_384)
SEQ_LENGTH, SHARD_TOKENS, MEMORY = 8192, 1 << 24, 1 << 26


def main() -> None:
    """Measure; judge unless --short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="small corpora, two turns, not judged")
    parser.add_argument("--pack", type=json.loads, metavar="CONFIG", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    if arguments.pack:
        print(json.dumps(pack(arguments.pack)))
        return
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), tokens=1 << 21 if arguments.short else 1 << 25, turns=2 if arguments.short else 3)
    result = {"name": "pack", "short": arguments.short, **result}
    print(json.dumps(result))
    good = (
        result["million_tokens_per_core_second"] >= LIMIT_MILLION_TOKENS
        and result["fill"] >= LIMIT_FILL
        and result["memory_ratio"] <= LIMIT_MEMORY
    )
    if not arguments.short and not good:
        raise SystemExit(1)


def measure(root: Path, *, tokens: int, turns: int) -> dict[str, Any]:
    """The result's keys; `tokens` in the smaller corpus."""
    write_corpus(root / "long", tokens=tokens, mean=1000)
    write_corpus(root / "short", tokens=tokens // 4, mean=100)
    ways = [(corpus, algorithm) for corpus in ("long", "short") for algorithm in ("concat", "best_fit")]
    speeds: dict[str, list[float]] = {f"{algorithm}_{corpus}": [] for corpus, algorithm in ways}
    fills, identities = {}, {name: set() for name in speeds}
    for _ in range(turns):  # ways interleaved, so that load on the machine meets all alike
        for corpus, algorithm in ways:
            name = f"{algorithm}_{corpus}"
            done = in_child(root / corpus, root / "rows", algorithm=algorithm)
            speeds[name].append(done["tokens"] / done["cpu_s"] / 1e6)
            fills[name] = done["fill"]
            identities[name].add(done["identity"])
    assert all(len(found) == 1 for found in identities.values()), "a rerun gave other bytes"
    median = {name: round(statistics.median(values), 2) for name, values in speeds.items()}
    small = [in_child(root / "long", root / "rows", algorithm=a, memory=MEMORY) for a in ("concat", "best_fit")]
    shutil.rmtree(root / "short")
    shutil.rmtree(root / "long")
    write_corpus(root / "large", tokens=10 * tokens, mean=1000)
    large = [in_child(root / "large", root / "rows", algorithm=a, memory=MEMORY) for a in ("concat", "best_fit")]
    slowest = min(median["concat_long"], median["best_fit_long"])
    return {
        "million_tokens_per_core_second": slowest,
        "ratio": round(slowest / LIMIT_MILLION_TOKENS, 4),
        "limit": 1.0,
        "better": "higher",
        "of_this_machine": True,
        "limit_million_tokens_per_core_second": LIMIT_MILLION_TOKENS,
        "by_way": median,
        "fill": fills["best_fit_long"],
        "limit_fill": LIMIT_FILL,
        "fill_by_way": fills,
        "identical_reruns": True,
        "memory_ratio": round(max(ten["peak"] / one["peak"] for one, ten in zip(small, large, strict=True)), 4),
        "limit_memory_ratio": LIMIT_MEMORY,
        "memory_setting": MEMORY,
        "corpus_bytes": [4 * tokens, 40 * tokens],
        "peak_bytes": [[done["peak"] for done in both] for both in (small, large)],
        "growth_bytes": [[done["peak"] - done["before"] for done in both] for both in (small, large)],
        "large_million_tokens_per_core_second": [round(done["tokens"] / done["cpu_s"] / 1e6, 2) for done in large],
    }


def write_corpus(folder: Path, *, tokens: int, mean: int) -> None:
    """Documents of log-normal lengths, `tokens` in all, random ids, with metadata as a web corpus has it."""
    with make_artifact(folder, kind="documents", config={}) as draft:
        write_documents(
            draft.folder, documents(tokens, mean), vocabulary=VOCABULARY, name="corpus", shard_tokens=SHARD_TOKENS
        )


def documents(tokens: int, mean: int) -> Iterator[TokenDocument]:
    """As `write_corpus` says; the ids of all documents are cut from one array."""
    rng = np.random.default_rng(mean)
    ids = rng.integers(1, VOCABULARY.size, 1 << 22).astype(np.int32)
    number = 0
    while tokens > 0:
        length = max(1, min(int(rng.lognormal(np.log(mean) - 0.5, 1.0)), tokens))
        first = int(rng.integers(0, len(ids) - length))
        meta = {"url": f"https://example.org/{number % 977}/{number}", "language": "en", "score": number % 100 / 100}
        yield TokenDocument(
            key=f"crawl/{number // 1000:06d}/{number:09d}", tokens=ids[first : first + length], meta=meta
        )
        tokens -= length
        number += 1


def in_child(corpus: Path, output: Path, **settings: Any) -> dict[str, Any]:
    """`pack` in a fresh process, and a checksum of all bytes it made."""
    config = {"input": str(corpus), "output": str(output), "overlong": "split", **settings}
    command = [sys.executable, __file__, "--pack", json.dumps(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    digest = hashlib.sha256()
    for path in sorted(output.iterdir()):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    shutil.rmtree(output)
    return {**result, "identity": digest.hexdigest()}


def pack(settings: dict[str, Any]) -> dict[str, Any]:
    """CPU seconds and memory of one packing, and what it says of its rows."""
    folders = {name: Path(settings.pop(name)) for name in ("input", "output")}
    config = PackShardsConfig(**folders, **settings, seq_length=SEQ_LENGTH, shard_tokens=SHARD_TOKENS)
    before, start = memory_bytes("VmRSS"), time.process_time()
    facts = pack_documents(config.output, config)
    seconds = time.process_time() - start
    return {
        "cpu_s": seconds,
        "tokens": facts.tokens,
        "fill": facts.fill,
        "before": before,
        "peak": memory_bytes("VmHWM"),
    }


def memory_bytes(name: str) -> int:
    """This process's memory now (VmRSS) or at its peak (VmHWM; getrusage would count the parent's, before exec)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
