"""Chooses the number format for `dtype: auto`: bfloat16 if the machine has units for it, else float32.

Recent GPUs have bfloat16 units. A CPU has them with AVX512-BF16 or AMX; without them, PyTorch converts every product,
and bfloat16 is 8 to 70 times slower than float32. Nothing here imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Dtype = Literal["float32", "bfloat16"]
"""Number format of weights and activations."""
DtypeSetting = Literal["auto", "float32", "bfloat16"]
"""Values of a `dtype` setting."""

CPUINFO = Path("/proc/cpuinfo")
UNITS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}
"""CPU flag in /proc/cpuinfo: name of the units."""
# Environment variables that limit oneDNN, which computes PyTorch's bfloat16 products, and the limits without the units.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITHOUT_UNITS = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")


def bfloat16_units(cpuinfo: Path = CPUINFO, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of this CPU's bfloat16 units; empty if it has none, or if a oneDNN limit forbids them."""
    if any(environment.get(limit, "").upper() in _WITHOUT_UNITS for limit in _LIMITS):
        return []
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return []
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return [name for flag, name in UNITS.items() if flag in flags]


def resolve_dtype(setting: DtypeSetting, *, key: str, gpu: bool, begun_in: Dtype | None = None) -> tuple[Dtype, str]:
    """Choose the format to compute in; returns (format, one line with the reason).

    Args:
        setting: value of the setting `key`.
        key: name of the setting, for the line.
        gpu: whether a GPU computes.
        begun_in: format of the run that is resumed; `auto` keeps it.
    """
    units = bfloat16_units()
    slow = "this CPU has neither AVX512-BF16 nor AMX and takes 8 to 70 times as long as in float32"
    if setting == "auto" and begun_in:
        line = f"{key}=auto: {begun_in}, the format that this run began in"
        return begun_in, line if begun_in == "float32" or gpu or units else f"{line}; {slow}"
    if setting == "auto":
        if gpu:
            return "bfloat16", f"{key}=auto: bfloat16 on the GPU"
        if units:
            return "bfloat16", f"{key}=auto: bfloat16, since this CPU has {' and '.join(units)}"
        return "float32", f"{key}=auto: float32, since this CPU has neither AVX512-BF16 nor AMX"
    if setting == "bfloat16" and not (gpu or units):
        return setting, f"{key}=bfloat16: {slow}; {key}=auto chooses float32 for a new run"
    return setting, f"{key}={setting}"
