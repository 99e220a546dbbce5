#!/usr/bin/env python
"""Whole training samples, ours against megatron-core's GPTDataset, on the same documents in rows of 8192 tokens.

Whole means: inputs, labels, loss mask, and positions that begin anew with every document; ours adds `cu_seqlens`,
modality and checksums. Both read from the page cache in random order, each sample once per round, four at a time: ours
as the micro-batch that a step takes, GPTDataset's as four samples which nobody has put together yet. They take turns in
one process on one thread, and medians of CPU time over the rounds are compared. `host_ratio` is about the part of ours
that stays on the host where there is a GPU (ids and boundaries). `plain_ratio` is about a GPTDataset that knows no
boundaries: it makes mask and positions once and hands out the same ones ever after. The last line is JSON.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.pack import pack_documents
from megatron_speech.data.plan.mixture import compile_plan
from megatron_speech.data.reading.batch import collate, to_device
from megatron_speech.data.reading.reader import Reader
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.platform import standin
from megatron_speech.vocabulary import Vocabulary

LIMIT = 3.0
SEQ_LENGTH, ROWS = 8192, 4
Build = Callable[[range], Any]
VOCABULARY = Vocabulary(num_text_ids=100_000, num_speech_ids=16_384)


def main() -> None:
    """Measure; judged unless --short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few samples, not judged")
    short = parser.parse_args().short
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    samples, rounds = (20, 3) if short else (400, 21)
    with tempfile.TemporaryDirectory() as folder:
        documents = make_documents(samples)
        host, whole = ours(Path(folder), documents, samples)
        builders = {"host": host, "whole": whole}
        for name, resets in (("megatron", True), ("megatron_plain", False)):
            builders[name] = megatron(Path(folder) / name, documents, resets=resets)
        seconds = measure(builders, samples=samples, rounds=rounds)
    per_second = {f"{name}_mtok_per_s": round(SEQ_LENGTH / value / 1e6, 1) for name, value in seconds.items()}
    ratios = {
        "ratio": round(seconds["megatron"] / seconds["whole"], 2),
        "plain_ratio": round(seconds["megatron_plain"] / seconds["whole"], 2),
        "host_ratio": round(seconds["megatron"] / seconds["host"], 2),
    }
    print(
        json.dumps({"name": "sample_build", **ratios, "limit": LIMIT, "better": "higher", "short": short, **per_second})
    )
    if not short and ratios["ratio"] < LIMIT:
        raise SystemExit(1)


def measure(builders: dict[str, Build], *, samples: int, rounds: int) -> dict[str, float]:
    """Median CPU seconds per sample; every builder makes every sample once a round."""
    times: dict[str, list[float]] = {name: [] for name in builders}
    for turn in range(rounds + 1):
        for name in sorted(builders, reverse=bool(turn % 2)):
            start = time.process_time()
            for number in range(0, samples, ROWS):
                builders[name](range(number, number + ROWS))
            if turn:  # the first round fills caches
                times[name].append((time.process_time() - start) / samples)
    return {name: statistics.median(values) for name, values in times.items()}


def make_documents(samples: int) -> list[TokenDocument]:
    """Text and speech of 200 to 2,200 tokens each, a little more than the samples hold."""
    generator = np.random.default_rng(0)
    lengths: list[int] = []
    while sum(lengths) < (samples + 2) * SEQ_LENGTH:
        lengths.append(int(generator.integers(200, 2200)))
    return [
        TokenDocument(key=str(index), tokens=generator.integers(1, VOCABULARY.size, length).astype(np.int32))
        for index, length in enumerate(lengths)
    ]


def ours(folder: Path, documents: list[TokenDocument], samples: int) -> tuple[Build, Build]:
    """(what runs on the host, the whole sample)."""
    write_documents(folder / "documents", documents, vocabulary=VOCABULARY, name="random")
    pack_documents(
        folder / "packed", PackShardsConfig(input=folder / "documents", output=folder, seq_length=SEQ_LENGTH)
    )
    sources = {"random": SourceConfig(folder=folder / "packed", task="interleaved")}
    data = DataConfig(seq_length=SEQ_LENGTH, sources=sources)
    reader = Reader(compile_plan(data, vocabulary=VOCABULARY, num_samples=samples))
    device = torch.device("cpu")

    def host(numbers: range) -> Any:
        return collate(reader.rows(numbers))

    def whole(numbers: range) -> Any:
        batch = to_device(host(numbers), VOCABULARY, device)
        return batch, document_positions(batch.cu_seqlens, length=len(numbers) * SEQ_LENGTH)

    return host, whole


def document_positions(cu_seqlens: torch.Tensor, *, length: int) -> torch.Tensor:
    """Place of each input in its document, int32 [length]: our rotary attention finds it in `cu_seqlens` itself."""
    starts = torch.repeat_interleave(cu_seqlens[:-1], cu_seqlens.diff(), output_size=length)
    return torch.arange(length, dtype=torch.int32).sub_(starts)


def megatron(prefix: Path, documents: list[TokenDocument], *, resets: bool) -> Build:
    """A GPTDataset over the same documents, each closed by the end-of-document id."""
    standin.install()
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
    from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder
    from megatron.core.datasets.utils import Split

    builder = IndexedDatasetBuilder(f"{prefix}.bin", dtype=np.int32)
    for document in documents:
        tokens = torch.from_numpy(np.append(document.tokens, VOCABULARY.end_of_document))
        builder.add_document(tokens, [len(tokens)])
    builder.finalize(f"{prefix}.idx")
    config = GPTDatasetConfig(
        random_seed=0,
        sequence_length=SEQ_LENGTH,
        tokenizer=SimpleNamespace(
            eod=VOCABULARY.end_of_document, pad=VOCABULARY.size, vocab_size=VOCABULARY.size, unique_identifiers={}
        ),
        reset_position_ids=resets,
        reset_attention_mask=False,
        eod_mask_loss=resets,
        create_attention_mask=False,
        path_to_cache=None,
    )
    indices = np.arange(len(documents), dtype=np.int32)
    dataset = GPTDataset(IndexedDataset(str(prefix)), str(prefix), indices, None, Split.train, config)
    return lambda numbers: [dataset[number] for number in numbers]


if __name__ == "__main__":
    main()
