"""`dtype: auto` is bfloat16 where the machine multiplies it fast, and float32 elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from megatron_speech.platform import number_format
from megatron_speech.platform.number_format import bfloat16_units, resolve_dtype

AVX2 = "flags\t\t: fpu sse2 avx avx2 fma\n"
AVX512 = "flags\t\t: fpu avx2 avx512f avx512bw avx512_vnni\n"
BF16 = "flags\t\t: fpu avx2 avx512f avx512_bf16\n"
AMX = "flags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile amx_bf16\n"
ARM = "Features\t: fp asimd bf16\n"


@pytest.mark.parametrize(
    ("flags", "environment", "units"),
    [
        (AVX2, {}, []),
        (AVX512, {}, []),
        (BF16, {}, ["AVX512-BF16"]),
        (AMX, {}, ["AVX512-BF16", "AMX"]),
        (ARM, {}, []),
        ("", {}, []),
        (BF16, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, []),
        (BF16, {"DNNL_MAX_CPU_ISA": "avx512_core"}, []),
        (BF16, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, ["AVX512-BF16"]),
        (BF16, {"ONEDNN_MAX_CPU_ISA": "ALL"}, ["AVX512-BF16"]),
    ],
)
def test_units_are_read_from_the_cpus_flags_and_the_limits_set_on_them(
    tmp_path: Path, flags: str, environment: dict[str, str], units: list[str]
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: some CPU\n{flags}\nprocessor\t: 1\n{flags}")
    assert bfloat16_units(cpuinfo, environment) == units


def test_a_machine_that_does_not_list_its_flags_has_no_units(tmp_path: Path) -> None:
    assert bfloat16_units(tmp_path / "absent", {}) == []


@pytest.mark.parametrize(
    ("setting", "units", "gpu", "dtype", "reason"),
    [
        ("auto", [], False, "float32", "dtype=auto: float32, since this CPU has neither AVX512-BF16 nor AMX"),
        ("auto", ["AMX"], False, "bfloat16", "dtype=auto: bfloat16, since this CPU has AMX"),
        ("auto", [], True, "bfloat16", "dtype=auto: bfloat16 on the GPU"),
        ("float32", ["AMX"], False, "float32", "dtype=float32"),
        ("bfloat16", ["AMX"], False, "bfloat16", "dtype=bfloat16"),
        ("bfloat16", [], True, "bfloat16", "dtype=bfloat16"),
        (
            "bfloat16",
            [],
            False,
            "bfloat16",
            "8 to 70 times as long as in float32; dtype=auto chooses float32 for a new run",
        ),
    ],
)
def test_one_line_says_which_format_and_why(
    monkeypatch: pytest.MonkeyPatch, setting, units: list[str], gpu: bool, dtype: str, reason: str
) -> None:
    monkeypatch.setattr(number_format, "bfloat16_units", lambda: units)
    found, line = resolve_dtype(setting, key="dtype", gpu=gpu)
    assert found == dtype and line.endswith(reason)


@pytest.mark.parametrize("begun_in", ["float32", "bfloat16"])
@pytest.mark.parametrize(("units", "gpu"), [([], False), (["AMX"], False), ([], True)])
def test_a_run_that_goes_on_keeps_its_format_and_is_not_advised_what_was_given(
    monkeypatch: pytest.MonkeyPatch, begun_in: Any, units: list[str], gpu: bool
) -> None:
    monkeypatch.setattr(number_format, "bfloat16_units", lambda: units)
    found, line = resolve_dtype("auto", key="dtype", gpu=gpu, begun_in=begun_in)
    assert found == begun_in and line.startswith(f"dtype=auto: {begun_in}, the format that this run began in")
    assert ("8 to 70 times" in line) == (begun_in == "bfloat16" and not units and not gpu)
    assert "chooses" not in line
