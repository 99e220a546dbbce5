#!/usr/bin/env python
"""How fast a checkpoint becomes a Hugging Face folder: against the bare writing of its bytes, and save_pretrained.

The export reads the checkpoint (from the page cache), checks it, and leaves safetensors on the disk. `raw` writes as
many bytes from memory, in blocks, and calls fsync: no export can be much faster. `save_pretrained` is transformers' own
way with the model already in memory, its files then synced too. Turns alternate; wall-clock medians are compared. Each
export runs in a process of its own, where the growth of its peak memory is taken. The last line is JSON.

Of the three limits, the one over `save_pretrained` says as much about the disk as about the export: where the disk
takes what the page cache gives it as fast as direct writes, nothing can be three times as fast as `save_pretrained`.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
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

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.hf_export import convert_to_hf
from megatron_speech.checkpoint.hf_mapping import megatron_shapes
from megatron_speech.checkpoint.weights_writer import write_weights
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.stages.convert import ConvertToHfConfig
from megatron_speech.vocabulary import Vocabulary

LIMIT, LIMIT_OVER_SAVE, SLACK_BYTES = 0.85, 3.0, 256 << 20
VOCABULARY = Vocabulary(num_text_ids=32_000, num_speech_ids=16_384)
MODEL = ModelConfig(num_layers=16, hidden_size=1024, ffn_hidden_size=2816, num_attention_heads=16, num_query_groups=4)
SHORT_MODEL = ModelConfig(num_layers=2)


def main() -> None:
    """Measure; judge unless --short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a small model, one turn, not judged")
    parser.add_argument("--export", nargs=2, type=Path, metavar=("FOLDER", "OUTPUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.export:
        print(json.dumps(export(*arguments.export)))
        return
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), SHORT_MODEL if arguments.short else MODEL, turns=1 if arguments.short else 5)
    print(json.dumps({"name": "hf_export", "short": arguments.short, **result}))
    good = (
        result["ratio"] >= LIMIT
        and result["over_save_pretrained"] >= LIMIT_OVER_SAVE
        and result["peak_bytes"] <= result["limit_peak_bytes"]
    )
    if not arguments.short and not good:
        raise SystemExit(1)


def measure(folder: Path, model: ModelConfig, *, turns: int) -> dict[str, Any]:
    """Median seconds of the three ways, their ratios, and the export's peak memory with its limit."""
    largest = make_checkpoint(folder, model)
    exported = folder / "exported"
    in_child(folder, exported)
    hf_model = AutoModelForCausalLM.from_pretrained(exported)
    num_bytes = sum(path.stat().st_size for path in exported.glob("*.safetensors"))
    shutil.rmtree(exported)
    times: dict[str, list[float]] = {"export": [], "raw": [], "save_pretrained": []}
    peaks = []
    for _ in range(turns):
        done = in_child(folder, exported)
        times["export"].append(done["seconds"])
        peaks.append(done["peak_bytes"])
        times["raw"].append(raw(exported / "raw", num_bytes))
        times["save_pretrained"].append(save_pretrained(hf_model, exported / "saved"))
        shutil.rmtree(exported)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "ratio": round(medians["raw"] / medians["export"], 4),
        "limit": LIMIT,
        "better": "higher",
        "over_save_pretrained": round(medians["save_pretrained"] / medians["export"], 4),
        "limit_over_save_pretrained": LIMIT_OVER_SAVE,
        "peak_bytes": max(peaks),
        "limit_peak_bytes": 2 * largest + SLACK_BYTES,
        "bytes": num_bytes,
        **{f"{name}_s": round(value, 4) for name, value in medians.items()},
    }


def make_checkpoint(folder: Path, model: ModelConfig) -> int:
    """A float32 ``checkpoint/`` of random weights, a ``vocabulary/`` without tokenizer; size of the largest tensor."""
    checkpoint, vocabulary = folder / "checkpoint", folder / "vocabulary"
    checkpoint.mkdir()
    vocabulary.mkdir()
    shapes = megatron_shapes(model, num_rows=VOCABULARY.padded_size)

    def tensors() -> Iterator[tuple[str, int | None, Tensor]]:
        for key, shape in shapes.items():
            if key.startswith("decoder.layers."):
                yield from ((key, layer, torch.randn(shape[1:])) for layer in range(model.num_layers))
            else:
                yield key, None, torch.randn(shape)

    write_weights(checkpoint, tensors(), num_layers=model.num_layers)
    folders.write_facts(checkpoint, model=model, vocabulary=VOCABULARY, state=CheckpointState(step=0))
    folders.write_checksums(checkpoint, folders.checksums(checkpoint.iterdir()))
    VOCABULARY.save(vocabulary / "vocabulary.json")
    (vocabulary / "manifest.json").write_text('{"kind": "vocabulary", "facts": {}}')
    in_layers = [shape[1:] if key.startswith("decoder.layers.") else shape for key, shape in shapes.items()]
    return max(torch.Size(shape).numel() for shape in in_layers) * torch.float32.itemsize


def in_child(folder: Path, output: Path) -> dict[str, Any]:
    """`export` in a fresh process."""
    command = [sys.executable, __file__, "--export", str(folder), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def export(folder: Path, output: Path) -> dict[str, Any]:
    """Seconds of one export, and by how much its peak memory exceeds what the process held before."""
    logging.disable(logging.INFO)
    config = ConvertToHfConfig(checkpoint=folder / "checkpoint", vocabulary=folder / "vocabulary", output=output)
    before = memory_bytes("VmRSS")
    start = time.perf_counter()
    convert_to_hf(config)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_bytes": memory_bytes("VmHWM") - before}


def memory_bytes(name: str) -> int:
    """This process's memory now (VmRSS) or at its peak (VmHWM; getrusage would count the parent's, before exec)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def raw(path: Path, num_bytes: int) -> float:
    """Seconds to write `num_bytes` from memory and have them on the disk."""
    block = memoryview(os.urandom(1 << 24))
    start = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        left = num_bytes
        while left:
            left -= file.write(block[:left])
        os.fsync(file.fileno())
    return time.perf_counter() - start


def save_pretrained(model: Any, folder: Path) -> float:
    """Seconds of `save_pretrained` until its files are on the disk."""
    start = time.perf_counter()
    model.save_pretrained(folder)
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
