"""GPUs as their data sheets describe them, and the rates that a plain matrix product was measured to reach on them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

PRECISIONS = ("bf16", "fp8", "mxfp8", "nvfp4")
"""Formats of matrix products in transformer layers. mxfp8 is FP8 with a scale per 32 values, nvfp4 one per 16."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU of a cluster. Rates are in TFLOP/s without sparsity, bandwidths in GB/s and one direction."""

    name: str
    architecture: str
    tflops: dict[str, float]
    """Peak of the data sheet by precision."""
    measured: dict[str, float] = field(default_factory=dict)
    """Best published rate of a plain matrix product, by precision."""
    memory_gib: float
    memory_gb_s: float
    nvlink_gb_s: float
    network_gb_s: float
    node: int
    """GPUs that NVLink joins."""
    watts: float
    multiprocessors: int
    exponentials: float
    """Exponentials per second of the special function units, in 10^12."""
    host: float = 1.0
    """Time the host needs to issue a kernel, as a multiple of an x86 host's."""
    kin: str = ""
    source: str = ""

    def peak(self, precision: str) -> float:
        """FLOP/s of the data sheet. ValueError where the chip lacks the precision."""
        name = "fp8" if precision == "mxfp8" else precision
        if name not in self.tflops:
            raise ValueError(
                f"precision={precision} does not exist on {self.name}; choose {', '.join(self.precisions)}"
            )
        return self.tflops[name] * 1e12

    def matrix_rate(self, precision: str) -> float:
        """FLOP/s that large matrix products keep up for days: what was measured, within the power of the chip."""
        if self.kin:
            kin = gpu(self.kin)
            bound = kin.matrix_rate(precision) * self.watts / kin.watts
            return min(bound, self.peak(precision) if not self.measured else self._measured(precision))
        return self._measured(precision)

    def _measured(self, precision: str) -> float:
        """Measured rate; without a measurement of this precision, FP8's share of the peak stands in."""
        name = "fp8" if precision == "mxfp8" else precision
        if name in self.measured:
            return self.measured[name] * 1e12
        return self.peak(precision) * self.measured["fp8"] / self.tflops["fp8"]

    @property
    def precisions(self) -> list[str]:
        """Precisions of the chip's matrix units that a layer's products can use."""
        mx = ["mxfp8"] if self.architecture == "blackwell" else []
        return [name for name in PRECISIONS if name in self.tflops or name in mx]


@cache
def _sheets() -> dict[str, Any]:
    text = (files("megatron_speech.planning") / "data" / "gpus.yaml").read_text()
    sheets: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return sheets


def gpu_names() -> list[str]:
    """All GPUs that have a data sheet here."""
    return list(_sheets())


@cache
def gpu(name: str) -> Gpu:
    """The GPU called `name`. The beginning is enough, with the whole model; the first such sheet counts.

    ValueError lists the known ones.
    """
    known = [full for full in gpu_names() if full.lower().startswith(name.lower())] if name else []
    if name in gpu_names():
        known = [name]
    models = list(dict.fromkeys(full.split("-")[0] for full in known))
    if len(models) > 1:
        raise ValueError(f"gpu={name} is the beginning of {', '.join(models)}; name one")
    if not known:
        near = difflib.get_close_matches(name.upper(), {full.split("-")[0]: None for full in gpu_names()}, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"gpu={name} has no data sheet; {hint}known are {', '.join(gpu_names())}")
    return Gpu(name=known[0], **_sheets()[known[0]])
