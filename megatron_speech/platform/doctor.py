"""Prints which optional parts this machine has, and what the missing ones cost.

Run it with `megatron-speech doctor`. Nothing here imports torch. Parts that could be broken (a driver, an extension
built for another torch) are imported in child processes with a deadline, all at once. So a crash or a hang becomes a
line of the table.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_speech.platform.number_format import bfloat16_units

DEADLINE_S = 60.0

# Code of child processes: the output is the finding, and an exception means broken.
CUDA = """
import torch
if count := torch.cuda.device_count():
    nccl = ".".join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_nccl_available() else "missing"
    print(f"{count} x {torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}, NCCL {nccl}")
"""
TRANSFORMER_ENGINE = "import transformer_engine as t, transformer_engine.pytorch; print(t.__version__)"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the machine or a package that a run can use."""

    name: str
    distribution: str
    """Package that contains the part; if it is not installed, the part is missing and no child process is started."""
    cost: str
    """What a run loses without the part."""
    probe: str | None = None
    """Python that prints a version or a description; nothing printed means missing."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A line of the table."""

    name: str
    found: str
    """Version or description; empty if missing or broken."""
    note: str
    """What a run loses, or why the part does not work."""


PARTS = (
    Part(name="torch", distribution="torch", cost="nothing runs: pip install torch"),
    Part(
        name="CUDA and NCCL",
        distribution="torch",
        probe=CUDA,
        cost="training on the CPU through the stand-in, ranks over gloo: same results, small models only",
    ),
    Part(name="megatron-core", distribution="megatron-core", cost="no training: pip install megatron-core==0.16.1"),
    Part(
        name="Transformer Engine",
        distribution="transformer-engine",
        probe=TRANSFORMER_ENGINE,
        cost="no training on a GPU (layers, FP8, context parallelism): .venv/bin/pip install -e '.[cuda]'",
    ),
    Part(name="DALI", distribution="nvidia-dali-cuda130", cost="log-mel features are computed by torch"),
    Part(name="vLLM", distribution="vllm", cost="bulk synthesis by transformers, several times slower"),
    Part(name="transformers", distribution="transformers", cost="no import, export or evaluation"),
)


def doctor(words: Sequence[str] = ()) -> None:
    """Print the table. Raises ValueError for any word of a command line, as there is nothing to set."""
    if words:
        raise ValueError(f"{words[0]}: doctor takes no options; leave it out")
    findings = examine()
    name, found = (max(len(getattr(finding, key)) for finding in findings) for key in ("name", "found"))
    for finding in findings:
        print(f"{finding.name:<{name}}  {finding.found or '-':<{found}}  {finding.note}".rstrip())


def examine() -> list[Finding]:
    """All lines of the table; takes as long as the slowest import."""
    children = {part.name: _start(part.probe) for part in PARTS if part.probe and _version(part)}
    packages = [_finding(part, children.get(part.name)) for part in PARTS]
    return [_host(), _bfloat16(), *packages, _apex()]


def _start(probe: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", probe], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _finding(part: Part, child: subprocess.Popen[str] | None) -> Finding:
    version = _version(part)
    if not version:
        return Finding(name=part.name, found="", note=f"missing: {part.cost}")
    if child is None:
        return Finding(name=part.name, found=version, note="")
    try:
        printed, error = child.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return Finding(name=part.name, found="", note=f"hangs ({DEADLINE_S:.0f} s): {part.cost}")
    if child.returncode:
        reason = error.strip().splitlines()[-1][:160] if error.strip() else f"exit status {child.returncode}"
        return Finding(name=part.name, found="", note=f"{version} is broken ({reason}): {part.cost}")
    found = printed.strip()
    return Finding(name=part.name, found=found, note="" if found else f"missing: {part.cost}")


def _version(part: Part) -> str:
    """Version from the package's metadata; empty if it is not installed."""
    try:
        return importlib.metadata.version(part.distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _apex() -> Finding:
    """NVIDIA's Apex, recognised by a folder that the unrelated package of that name on PyPI does not have."""
    spec = importlib.util.find_spec("apex")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    if any((folder / "multi_tensor_apply").is_dir() for folder in folders):
        return Finding(name="Apex", found="NVIDIA's", note="")
    other = "PyPI's unrelated 'apex' is installed: pip uninstall apex; " if spec else ""
    return Finding(name="Apex", found="", note=f"missing: {other}used only where Transformer Engine is absent")


def _bfloat16() -> Finding:
    """The CPU's bfloat16 units."""
    found = " and ".join(bfloat16_units())
    cost = "dtype=auto computes in float32 on this CPU (bfloat16 would take 8 to 70 times as long)"
    return Finding(name="bfloat16 on the CPU", found=found, note="" if found else f"missing: {cost}")


def _host() -> Finding:
    """Processor cores this process may use, memory, operating system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return Finding(name="host", found=f"{cores} cores, {memory:.0f} GiB", note=system)


if __name__ == "__main__":
    doctor()
