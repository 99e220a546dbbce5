"""Published measurements as jobs of the planner: reads the columns of throughput_rows.csv and memory_rows.csv."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from megatron_speech.planning.gpus import Gpu, gpu, gpu_names
from megatron_speech.planning.job import Job, Recompute, Sharding
from megatron_speech.planning.shape import Shape
from megatron_speech.planning.stacks import Stack, stack

T = TypeVar("T")
GPUS = {
    "H100-SXM-80GB": "H100-SXM-80GB",
    "H100-96GB-HBM2e-500W": "H100-96GB-500W",
    "H200": "H200-SXM-141GB",
    "A100-80GB": "A100-SXM-80GB",
    "A100-80GB-PCIe": "A100-PCIe-80GB",
    "GB200": "GB200-NVL72-186GB",
    "B200": "B200-SXM-180GB",
    "GB300": "GB300-NVL72-279GB",
    "B300": "B300-SXM-270GB",
}
STACKS = {
    "maxtext": "jax",
    "paxml": "jax",
    "llm-foundry": "foundry",
    "torchtitan": "torch_fsdp",
    "fms-fsdp": "torch_fsdp",
    "Automodel": "torch_fsdp",
    "nanotron": "nanotron",
    "Megatron-Bridge": "bridge",
    "24.03": "nemo1",
    "24.07": "nemo1",
    "nemo_megatron": "nemo1",
    "NeMo": "nemo2",
    "dgxc": "nemo2",
    "Megatron-LM": "megatron",
    "Korthikanti": "megatron",
}
"""Part of a source's name, the first that fits, to the stack."""
MEGATRON = ("megatron", "nemo1", "nemo2", "bridge")
SHARDINGS: dict[str, Sharding] = {
    "full_shard": "weights",
    "shard_grad_op": "gradients",
    "fsdp": "weights",
    "hsdp": "weights",
    "zero0": "none",
    "zero1": "optimizer",
    "ddp+dist-opt": "optimizer",
    "ddp": "none",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One published throughput."""

    id: str
    source: str
    model: str
    group: str
    """Stack and shape: what is left out together."""
    split: str
    job: Job
    tokens_per_second: float
    precision: str
    states_chunks: bool
    """Whether the number of chunks per pipeline stage is stated or known."""
    peak_bytes: float
    """Bytes of the highest peak, 0 where none was published."""
    states_recompute: bool
    """Whether recomputation is stated, or the stack's default (none) is known."""


def throughput_rows(path: Path) -> tuple[list[Row], dict[str, int]]:
    """Dense pre-training rows that say enough, and how many others there are by reason."""
    return read_rows(path, unusable=_unusable, row=_row)


def read_rows(
    path: Path, *, unusable: Callable[[dict[str, str]], str], row: Callable[[dict[str, str]], T]
) -> tuple[list[T], dict[str, int]]:
    """Usable rows of a CSV file, and how many others there are by the reason that `unusable` gives ('' is usable)."""
    rows: list[T] = []
    left_out = Counter[str]()
    with path.open(newline="") as file:
        for raw in csv.DictReader(file):
            if reason := unusable(raw):
                left_out[reason] += 1
            else:
                rows.append(row(raw))
    return rows, dict(left_out)


def _unusable(raw: dict[str, str]) -> str:
    if raw["kind"] != "pretrain":
        return f"is no pre-training ({raw['kind']})"
    if not (raw["hidden"] and raw["layers"] and raw["ffn"]):
        return "states no dense shape (experts, hybrids)"
    if _gpu_name(raw) is None:
        return f"runs on {raw['gpu']}, which has no data sheet"
    if "deterministic" in raw["note"]:
        return "ran in deterministic mode"
    if not raw["gpus"] or not raw["gbs"]:
        return "states no number of GPUs or no batch"
    if _number(raw, "seq") < 128:
        return "states no length of rows"
    if _precision(raw) not in _gpu(raw).precisions:
        return "has a precision that its GPU lacks"
    degrees = [_number(raw, key) for key in ("tp", "pp", "cp")]
    if _number(raw, "gpus") % math.prod(degrees) or _number(raw, "gbs") < _number(raw, "gpus") // math.prod(degrees):
        return "states a layout or a batch that does not divide"
    if not _tokens(raw):
        return "states no throughput"
    return ""


def _number(raw: dict[str, str], key: str, default: int = 1) -> int:
    return int(float(raw[key])) if raw[key] not in ("", "NA") else default


def _tokens(raw: dict[str, str]) -> float:
    if raw["tokens_per_s_per_gpu"]:
        return float(raw["tokens_per_s_per_gpu"])
    if not raw["tflops_per_gpu"]:
        return 0.0
    flops = raw["implied_flops_per_token"] or raw["calc_causal" if "causal" in raw["flops_convention"] else "calc_full"]
    if not flops:
        shape = shape_of(raw)
        convention = "causal" if "causal" in raw["flops_convention"] else "full"
        flops = shape.flops_per_token(_number(raw, "seq"), convention).total
    return float(raw["tflops_per_gpu"]) * 1e12 / float(flops)


def shape_of(raw: dict[str, str]) -> Shape:
    """Shape of a row that states one."""
    name = raw["model"].lower()
    plain = any(part in name for part in ("gpt3", "nemotron", "mpt", "mlm", "kor-"))
    heads = _number(raw, "heads")
    return Shape(
        layers=_number(raw, "layers"),
        hidden=_number(raw, "hidden"),
        ffn=_number(raw, "ffn"),
        heads=heads,
        groups=_number(raw, "kv_heads", heads),
        head_dim=_number(raw, "hidden") // heads,
        vocabulary=_number(raw, "vocab"),
        gated=not plain,
        untied=not any(part in name for part in ("gpt3", "mpt", "kor-")),
        biases=any(part in name for part in ("gpt3", "kor-")),
        positions=_number(raw, "seq") if any(part in name for part in ("gpt3", "mpt", "kor-")) else 0,
    )


def _precision(raw: dict[str, str]) -> str:
    name = raw["precision"]
    if name in ("mxfp8", "fp8-mx"):
        return "mxfp8"
    if name == "nvfp4":
        return "nvfp4"
    return "fp8" if "8" in name.replace("bf16", "") and name != "fp16" and "fp16" not in name else "bf16"


def _stack_name(raw: dict[str, str]) -> str:
    return next((name for part, name in STACKS.items() if part in raw["source"]), "megatron")


def _stack(raw: dict[str, str], stack_name: str) -> Stack:
    """The stack; torchtitan's asynchronous tensor parallelism is a choice of the run."""
    found = stack(stack_name)
    return replace(found, hides_tensor=0.6) if "async" in raw["note"].lower() else found


def _sharding(raw: dict[str, str], stack_name: str) -> Sharding:
    text = raw["sharding"]
    found = next((value for key, value in SHARDINGS.items() if text.startswith(key)), None)
    if found:
        return found
    return "weights" if stack_name in ("torch_fsdp", "foundry", "jax") else "optimizer"


def _state_bytes(raw: dict[str, str], stack_name: str) -> int:
    """Apex's optimizer, in NeMo until 24.11, keeps only the lower half of float32 weights beside bfloat16 ones."""
    by_apex = stack_name == "nemo1" or "dgxc-benchmarking v24.11" in raw["source"]
    return 10 if by_apex and _precision(raw) == "bf16" else 12


def _sharded_over(raw: dict[str, str], gpus: int) -> int | None:
    """Ranks that divide the weights, as the launch scripts of that release of the JAX recipes have it."""
    if "paxml" in raw["source"]:
        return 8 if "5B" in raw["model"] and "175B" not in raw["model"] else 128
    return 128 if "maxtext" in raw["source"] and gpus >= 512 else None


def _recompute(raw: dict[str, str], stack_name: str) -> tuple[Recompute, int | None]:
    text = raw["recompute"].lower()
    if "block 5 layers" in text:
        return "full", 5
    if text.startswith("full"):
        return "full", None
    if "mlp" in text:
        return "mlp", None
    if text.startswith("selective"):
        return ("attention", None) if stack_name in MEGATRON else ("mlp", None)
    return "none", None


def _row(raw: dict[str, str]) -> Row:
    shape, stack_name, gpus = shape_of(raw), _stack_name(raw), _number(raw, "gpus")
    tensor, pipeline, context = _number(raw, "tp"), _number(raw, "pp"), _number(raw, "cp")
    copies = gpus // (tensor * pipeline * context)
    virtual = _number(raw, "vp", 0)
    states_chunks = bool(virtual) or stack_name != "megatron" or pipeline == 1
    if not virtual:
        virtual = max(1, shape.layers // pipeline) if not states_chunks else 2 if "interleaved" in raw["note"] else 1
    recompute, layers = _recompute(raw, stack_name)
    batch = _number(raw, "gbs")
    job = Job(
        shape=shape,
        sequence=_number(raw, "seq"),
        gpu=_gpu(raw),
        stack=_stack(raw, stack_name),
        gpus=gpus,
        tensor=tensor,
        pipeline=pipeline,
        virtual=virtual,
        context=context,
        micro_batch=_micro_batch(raw, batch // copies, pipeline=pipeline),
        global_batch=batch,
        precision=_precision(raw),
        recompute=recompute,
        recompute_layers=layers,
        sharding="gradients" if pipeline > 1 and stack_name == "torch_fsdp" else _sharding(raw, stack_name),
        state_bytes=_state_bytes(raw, stack_name),
        sharded_over=_sharded_over(raw, gpus),
        loss_bytes=14 if stack_name in ("torch_fsdp", "nanotron") else 6,
        narrow_weights=stack_name in ("nemo1", "nemo2", "bridge"),
        gradient_bytes=2 if stack_name in ("bridge", "nemo1", "nemo2", "foundry", "jax") else 4,
    )
    return Row(
        id=raw["row_id"],
        source=raw["source"],
        model=raw["model"],
        group=f"{stack_name}/{shape.hidden}x{shape.layers if 'proxy' not in raw['model'] else 126}",
        split=raw["split"],
        job=job,
        tokens_per_second=_tokens(raw),
        precision=job.precision,
        states_recompute=bool(raw["recompute"]) or (stack_name in MEGATRON and job.sharding != "weights"),
        states_chunks=states_chunks,
        peak_bytes=float(raw["peak_mem_gib"] or 0) * 2**30,
    )


def _gpu_name(raw: dict[str, str]) -> str | None:
    """Name of the data sheet, or None where there is none."""
    sheets = sorted(gpu_names(), key=lambda name: raw["gpu"].startswith(name.split("-")[0]))
    known = raw["gpu"].startswith(sheets[-1].split("-")[0])
    return GPUS.get(raw["gpu"], sheets[-1] if known else None)


def _gpu(raw: dict[str, str]) -> Gpu:
    """The GPU, with the network that the row states: "800 Gbps interconnect" is that of a node."""
    found = gpu(_gpu_name(raw) or "")
    return replace(found, network_gb_s=100 / found.node) if "800 Gbps interconnect" in raw["note"] else found


def _micro_batch(raw: dict[str, str], per_copy: int, *, pipeline: int) -> int:
    """Rows per pass: as stated, at most the batch of a copy; where none is stated, one."""
    given = _number(raw, "mbs", max(1, min(16384 // _number(raw, "seq"), per_copy)) if pipeline == 1 else 1)
    if given > per_copy or (pipeline > 1 and "torchtitan" in raw["source"]):  # its column holds the batch of a copy
        return 1 if pipeline > 1 else max(1, per_copy)
    return given
