"""Published memory figures as jobs of the planner: reads memory_rows.csv, and the peaks of throughput_rows.csv."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from megatron_speech.planning.gpus import gpu
from megatron_speech.planning.job import Job
from megatron_speech.planning.memory import fullest
from megatron_speech.planning.shape import Shape
from megatron_speech.planning.stacks import stack
from tests.published_rows import read_rows, throughput_rows

GPUS = {"a100": "A100-SXM-80GB", "h100": "H100-SXM-80GB", "b200": "B200-SXM-180GB", "gb200": "GB200-NVL72-186GB"}
VOCABULARIES = {"GPT2BPE": 50257, "Llama2": 32000, "": 50257}
GPUS_OF_A_NODE = 8


@dataclass(frozen=True, kw_only=True)
class MemoryRow:
    """Measured bytes of one rank of a pipeline stage."""

    case: str
    platform: str
    job: Job
    stage: int
    at_rest: float
    """0 where it was not published."""
    peak: float


def memory_rows(path: Path, throughput: Path) -> tuple[list[MemoryRow], dict[str, int]]:
    """Rows of dense decoders that say enough, and how many others there are by reason."""
    rows, left_out = read_rows(path, unusable=_unusable, row=_row)
    for row in throughput_rows(throughput)[0]:
        if row.peak_bytes:
            job = row.job
            rows.append(
                MemoryRow(
                    case=f"{row.id} {row.model}",
                    platform=f"{job.stack.name}",
                    job=job,
                    stage=fullest(job)[0],
                    at_rest=0.0,
                    peak=row.peak_bytes,
                )
            )
    return rows, left_out


def _unusable(raw: dict[str, str]) -> str:
    if raw["model"] != "gpt" or raw["experts"]:
        return f"is no dense decoder ({raw['model']})"
    if "mla" in raw["case"]:
        return "has latent attention"
    if raw["fsdp"] not in ("", "False"):
        return "is fully sharded by an early prototype"
    if raw["precision"] == "fp16":
        return "trains in float16"
    if "release" in raw["test_type"] and not raw["gpus"]:
        return "does not state its number of GPUs"
    if "defer_embedding" in raw["case"]:
        return "defers the gradient of the output layer"
    if not (raw["seq"] and raw["mbs"] and raw["layers"] and raw["hidden"]):
        return "does not state its shape or batch"
    degrees = [_number(raw, key) for key in ("tp", "pp", "cp")]
    if _number(raw, "gpus", max(GPUS_OF_A_NODE, math.prod(degrees))) % math.prod(degrees):
        return "states a layout that does not divide"
    if raw["fp8"] and "a100" in raw["source"]:
        return "has a precision that its GPU lacks"
    if "uneven" in raw["case"] or "multi_dist" in raw["case"]:
        return "does not state its split"
    return ""


def _number(raw: dict[str, str], key: str, default: int = 1) -> int:
    return int(float(raw[key])) if raw[key] not in ("", "NA") else default


def _shape(raw: dict[str, str], tensor: int) -> Shape:
    hidden, heads, length = _number(raw, "hidden"), _number(raw, "heads"), _number(raw, "seq")
    gated = raw["swiglu"] == "True"
    known = next((size for part, size in VOCABULARIES.items() if raw["tokenizer"].startswith(part)), 50257)
    vocabulary = _number(raw, "vocab", 256000 if "15b" in raw["case"] else known)
    multiple = 128 * tensor
    return Shape(
        layers=_number(raw, "layers"),
        hidden=hidden,
        ffn=_number(raw, "ffn", int(4 * hidden * 2 / 3) // 64 * 64 if gated else 4 * hidden),
        heads=heads,
        groups=_number(raw, "kv_groups", heads),
        head_dim=_number(raw, "kv_channels", hidden // heads),
        vocabulary=-(-vocabulary // multiple) * multiple,
        gated=gated,
        untied=raw["untie"] == "True",
        biases=raw["norm"] != "RMSNorm",
        positions=0 if raw["pos"] == "rope" else length,
    )


def _row(raw: dict[str, str]) -> MemoryRow:
    tensor, pipeline, context = (_number(raw, key) for key in ("tp", "pp", "cp"))
    platform = next(name for name in ("gb200", "b200", "h100", "a100") if name in raw["source"])
    shape, large = _shape(raw, tensor), _number(raw, "hidden") > 1024
    ranks = _number(raw, "gpus", max(GPUS_OF_A_NODE, tensor * pipeline * context))
    is_local = raw["impl"] == "local"
    chunk = _number(raw, "vpp_layers", 0)
    virtual = max(1, _number(raw, "vstages", shape.layers // pipeline // chunk if chunk else 1))
    fused_loss = "loss_fusion" in raw["case"]
    repeats = context == 1 and not any(part in raw["case"] for part in ("nondeterministic", "loss_fusion", "reshard"))
    is_resumed = "resume" in raw["test_type"] or "resume" in raw["case"]
    scores = is_local or (repeats and not is_resumed) or (fused_loss and platform == "a100")
    job = Job(
        shape=shape,
        sequence=_number(raw, "seq"),
        gpu=gpu(GPUS[platform]),
        stack=stack("megatron"),
        gpus=ranks,
        tensor=tensor,
        pipeline=pipeline,
        virtual=virtual,
        context=context,
        micro_batch=_number(raw, "mbs"),
        global_batch=_number(raw, "gbs", 64 * ranks * _number(raw, "mbs")),
        precision="fp8" if raw["fp8"] else "bf16",
        recompute="full" if raw["recompute"] == "full" else "none",
        sequence_parallel=raw["sp"] == "True",
        sharding="optimizer" if raw["dist_opt"] == "True" else "none",
        loss_bytes=10 if fused_loss else 6,
        dropout="release" not in raw["test_type"],
        keeps_scores=not large and scores,
        narrow_weights="native_fp8" in raw["case"],
        deterministic=platform == "a100" and repeats,
    )
    if "account_for_embedding" in raw["case"]:
        job = replace(job, chunk_layers=_with_ends(shape.layers, pipeline * virtual))
    return MemoryRow(
        case=raw["case"],
        platform=platform,
        job=job,
        stage=pipeline - 1,
        at_rest=float(raw["mem_alloc_last"] or 0),
        peak=float(raw["mem_max_last"] or 0),
    )


def _with_ends(layers: int, chunks: int) -> tuple[int, ...]:
    """Layers of every chunk where the embedding and the loss count as one layer each."""
    each = (layers + 2) // chunks
    return (each - 1, *[each] * (chunks - 2), each - 1)
