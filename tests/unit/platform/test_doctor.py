"""The doctor reports what is there, what is missing and what is broken, and never fails itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from megatron_speech.platform import doctor


def test_prints_a_line_per_part() -> None:
    done = subprocess.run([sys.executable, "-m", "megatron_speech.platform.doctor"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("host", "CUDA", "megatron-core", "Transformer Engine", "Apex", "DALI", "vLLM"):
        assert name in done.stdout


def finding(part: doctor.Part, monkeypatch: pytest.MonkeyPatch) -> doctor.Finding:
    """What the doctor says of one part."""
    monkeypatch.setattr(doctor, "PARTS", (part,))
    (found,) = (each for each in doctor.examine() if each.name == part.name)
    return found


def test_a_broken_package_is_a_line_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for probe, reason in (
        ("raise ImportError('built for another torch')", "is broken (ImportError: built for another torch)"),
        ("import os; os.abort()", "is broken (exit status -6)"),
        ("pass", "missing: much"),
    ):
        part = doctor.Part(name="x", distribution="torch", probe=probe, cost="much")
        found = finding(part, monkeypatch)
        assert not found.found and reason in found.note


def test_a_hanging_import_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DEADLINE_S", 0.2)
    probe = "import time; time.sleep(60)"
    part = doctor.Part(name="x", distribution="torch", probe=probe, cost="much")
    assert finding(part, monkeypatch).note.startswith("hangs")


def test_an_absent_package_starts_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    part = doctor.Part(name="x", distribution="no-such-distribution", probe="pass", cost="much")
    monkeypatch.setattr("subprocess.Popen", None)
    assert finding(part, monkeypatch) == doctor.Finding(name="x", found="", note="missing: much")
