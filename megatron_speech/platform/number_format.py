"""The number format that `dtype: auto` stands for: bfloat16 where the machine multiplies it fast, else float32.

GPUs of the last years have bfloat16 units. A CPU has them with AVX512-BF16 or AMX; without them, PyTorch converts
every product, and bfloat16 is 8 to 70 times slower than float32. Nothing here imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Dtype = Literal["float32", "bfloat16"]
"""Number format of weights and activations."""
DtypeSetting = Literal["auto", "float32", "bfloat16"]
"""What a configuration may say."""

CPUINFO = Path("/proc/cpuinfo")
UNITS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}
"""CPU flags of Linux, and what the units are called."""
# Limits that a user may set on oneDNN, which computes PyTorch's bfloat16 products, and that leave these units out.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITHOUT_UNITS = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")


def bfloat16_units(cpuinfo: Path = CPUINFO, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the units that this CPU computes bfloat16 with; empty where it has none, or none that may be used."""
    if any(environment.get(limit, "").upper() in _WITHOUT_UNITS for limit in _LIMITS):
        return []
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return []
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return [name for flag, name in UNITS.items() if flag in flags]


def resolve_dtype(setting: DtypeSetting, *, key: str, gpu: bool, begun_in: Dtype | None = None) -> tuple[Dtype, str]:
    """The format to compute in, and one line that says why.

    Args:
        key: name of the setting, for the line.
        gpu: whether a GPU computes.
        begun_in: format of the run that goes on, which `auto` keeps.
    """
    units = bfloat16_units()
    slow = "this CPU has neither AVX512-BF16 nor AMX and takes 8 to 70 times as long as in float32"
    if setting == "auto" and begun_in:
        line = f"{key}=auto: {begun_in}, in which this run began and goes on"
        return begun_in, line if begun_in == "float32" or gpu or units else f"{line}; {slow}"
    if setting == "auto":
        if gpu:
            return "bfloat16", f"{key}=auto: bfloat16 on the GPU"
        if units:
            return "bfloat16", f"{key}=auto: bfloat16, since this CPU has {' and '.join(units)}"
        return "float32", f"{key}=auto: float32, since this CPU has neither AVX512-BF16 nor AMX"
    if setting == "bfloat16" and not (gpu or units):
        return setting, f"{key}=bfloat16: {slow}; {key}=auto chooses float32 where nothing was begun in bfloat16"
    return setting, f"{key}={setting}"
