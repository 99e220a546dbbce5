#!/usr/bin/env python
"""What our training step costs on top of megatron-core: the whole step against a bare loop on the same model.

Ours reads rows from packed shards, derives masks, runs the schedule, reduces losses by source and modality, updates and
logs. The bare loop is megatron-core's schedule and optimizer on tensors that are already there, with one loss. Both
move the same weights, taking turns in one process on one thread; CPU-time medians are compared. A turn is several steps
in a row, as in a training, its first one left out: single steps in alternation measure whose code was evicted from the
processor's caches. Where a process's buffers happen to lie moves its ratio by three percent either way, so the median
over several processes is judged. Two shapes: one that computes, and one so small that the host's Python is all there
is. The last line is JSON.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import PrecisionConfig
from megatron_speech.config.run.training import PretrainConfig, TrainConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.pack import pack_shards
from megatron_speech.data.plan.mixture import compile_plan
from megatron_speech.data.reading.batch import collate, to_device
from megatron_speech.data.reading.reader import Reader
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.parallel.replica import Replica
from megatron_speech.parallel.signals import StopRequest
from megatron_speech.storage.place import Places
from megatron_speech.training.engine import build_engine
from megatron_speech.training.feed import Feed
from megatron_speech.training.loop import Run, advance
from megatron_speech.training.metrics import MetricsLog
from megatron_speech.training.reading import ReadProgress
from megatron_speech.training.state import TrainState
from megatron_speech.training.step import TrainingEngine
from megatron_speech.training.validation import Validation
from megatron_speech.vocabulary import Vocabulary

LIMITS = {"compute_bound": 1.01, "host_bound": 1.05}
PROCESSES = 7
TURNS = {"compute_bound": (4, 6), "host_bound": (8, 20)}
"""Turns of each loop, and steps in a turn."""
SHORT_TURNS = (2, 3)
SAMPLES = 1000
VOCABULARY = Vocabulary(num_text_ids=1000, num_speech_ids=512)
SHAPES = {
    "compute_bound": {"seq_length": 1024, "layers": 4, "hidden": 256, "document": 300},
    "host_bound": {"seq_length": 64, "layers": 8, "hidden": 64, "document": 40},
}


def main() -> None:
    """Measure both shapes in several processes; not judged with --short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few steps in one process, not judged")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one or arguments.short:
        found = [in_this_process(SHORT_TURNS if arguments.short else None)]
        if arguments.one:
            print(json.dumps(found[0]))
            return
    else:
        found = [in_child() for _ in tqdm(range(PROCESSES), unit="process")]
    results = {name: middle([each[name] for each in found], limit=LIMITS[name]) for name in SHAPES}
    worst = max(SHAPES, key=lambda name: results[name]["ratio"] / LIMITS[name])
    summary = {"ratio": results[worst]["ratio"], "limit": LIMITS[worst], "better": "lower"}
    print(json.dumps({"name": "step_overhead", **summary, "short": arguments.short, **results}))
    if not arguments.short and summary["ratio"] > summary["limit"]:
        raise SystemExit(1)


def in_this_process(counts: tuple[int, int] | None) -> dict[str, dict[str, float]]:
    """`measure` of every shape."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    return {name: measure(shape, counts or TURNS[name]) for name, shape in SHAPES.items()}


def in_child() -> dict[str, dict[str, float]]:
    """`in_this_process` in a fresh one."""
    command = [sys.executable, __file__, "--one"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    result: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return result


def middle(found: list[dict[str, float]], *, limit: float) -> dict[str, Any]:
    """The measurement with the median ratio, and all ratios."""
    ordered = sorted(found, key=lambda each: each["ratio"])
    return {**ordered[len(ordered) // 2], "limit": limit, "ratios": [each["ratio"] for each in ordered]}


def measure(shape: dict[str, int], counts: tuple[int, int]) -> dict[str, float]:
    """Median CPU seconds of our step and of the bare one, and their ratio; `counts` as in `TURNS`."""
    turns, steps = counts
    with tempfile.TemporaryDirectory() as folder:
        config = make_run(Path(folder), shape)
        groups.initialize(ParallelLayout.of(config.parallel, world_size=1), seed=0)
        try:
            engine = build_engine(config, vocabulary=VOCABULARY, load_base=False)
            ours, bare = our_step(config, engine), bare_step(config, engine, count=turns * steps)
            times: dict[str, list[float]] = {"ours": [], "bare": []}
            for turn in range(turns):
                for name, step in (("ours", ours), ("bare", bare)) if turn % 2 else (("bare", bare), ("ours", ours)):
                    times[name] += [cpu_seconds(step) for _ in range(steps)][1:]
        finally:
            groups.shutdown()
    medians = {f"{name}_s": round(statistics.median(values), 5) for name, values in times.items()}
    return {"ratio": round(medians["ours_s"] / medians["bare_s"], 4), **medians}


def cpu_seconds(step: Callable[[], None]) -> float:
    """CPU time of one step, over all threads of the process."""
    start = time.process_time()
    step()
    return time.process_time() - start


def make_run(folder: Path, shape: dict[str, int]) -> PretrainConfig:
    """A run of one row a step on random documents."""
    generator = np.random.default_rng(0)
    documents = (
        TokenDocument(key=str(index), tokens=generator.integers(1, 1500, shape["document"]).astype(np.int32))
        for index in range(400)
    )
    write_documents(folder / "documents", documents, vocabulary=VOCABULARY, name="random")
    (folder / "documents" / "manifest.json").write_text('{"kind": "documents", "facts": {}}')
    pack_shards(PackShardsConfig(input=folder / "documents", output=folder / "packed", seq_length=shape["seq_length"]))
    return PretrainConfig(
        folder=folder / "run",
        model=ModelConfig(
            num_layers=shape["layers"], hidden_size=shape["hidden"], ffn_hidden_size=shape["hidden"] * 8 // 3 // 16 * 16
        ),
        precision=PrecisionConfig(dtype="float32"),
        data=DataConfig(
            seq_length=shape["seq_length"],
            sources={"random": SourceConfig(folder=folder / "packed", task="interleaved")},
        ),
        train=TrainConfig(global_batch_size=1),
    )


def our_step(config: PretrainConfig, engine: TrainingEngine) -> Callable[[], None]:
    """One turn of `training.loop.train` without its saving: read, step, check, log, agree."""
    plan = compile_plan(config.data, vocabulary=VOCABULARY, num_samples=SAMPLES)
    places = Places(config.data.reader)
    feed = Feed(plan, places, replica=Replica.of(ParallelLayout.of(config.parallel, world_size=1)))
    batches = feed.steps([[number]] for number in range(SAMPLES))
    run = Run(
        config=config,
        plan=plan,
        total_steps=SAMPLES,
        engine=engine,
        feed=feed,
        reading=ReadProgress(config, feed, places.stats, first_sample=0),
        log=MetricsLog(config.folder, data=config.data, first_step=0, total_steps=SAMPLES, enabled=True),
        validation=Validation(feeds={}, micro_batch_size=1),
    )
    stop_request = StopRequest()
    state = TrainState()

    def step() -> None:
        nonlocal state
        state = advance(run, state, next(batches), last=False)
        stop_request.agreed()

    return step


def bare_step(config: PretrainConfig, engine: TrainingEngine, *, count: int) -> Callable[[], None]:
    """megatron-core alone, as its own example loop drives it, on the very rows of ours, already on the device."""
    from megatron.core.distributed import finalize_model_grads
    from megatron.core.packed_seq_params import PackedSeqParams
    from megatron.core.pipeline_parallel import get_forward_backward_func
    from megatron.core.utils import get_model_config

    reader = Reader(compile_plan(config.data, vocabulary=VOCABULARY, num_samples=SAMPLES))
    batches = (to_device(collate(reader.rows([number])), VOCABULARY, engine.device) for number in range(count))
    turn = iter([(batch, batch.loss_mask.float().flatten(), torch.zeros_like(batch.tokens)) for batch in batches])
    run = partial(
        get_forward_backward_func(),
        data_iterator=None,
        model=list(engine.chunks),
        num_microbatches=1,
        seq_length=config.data.seq_length,
        micro_batch_size=1,
    )

    def step() -> None:
        batch, mask, positions = next(turn)

        def loss(losses: Tensor) -> tuple[Tensor, Tensor, dict[str, Any]]:
            return (losses.flatten() * mask).sum(), mask.sum().int(), {}

        def forward_step(data: Iterator[Any], model: Any) -> tuple[Tensor, Any]:
            packed = PackedSeqParams(
                qkv_format="thd",
                cu_seqlens_q=batch.cu_seqlens,
                cu_seqlens_kv=batch.cu_seqlens,
                max_seqlen_q=batch.max_seqlen,
                max_seqlen_kv=batch.max_seqlen,
            )
            return model(batch.tokens, positions, None, labels=batch.labels, packed_seq_params=packed), loss

        get_model_config(engine.chunks[0]).finalize_model_grads_func = finalize_model_grads
        for chunk in engine.chunks:
            chunk.zero_grad_buffer()
        engine.optimizer.zero_grad()
        run(forward_step_func=forward_step, forward_only=False)
        engine.optimizer.step()

    return step


if __name__ == "__main__":
    main()
