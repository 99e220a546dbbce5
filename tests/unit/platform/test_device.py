"""A run says on what it runs, and a job that was granted GPUs does not train on a CPU unseen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from megatron_speech.platform.device import resolve_device, where
from tests.toy_runs import make_config, make_sources

GRANTS = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE", "GPUS_PER_NODE")
CPU = "CPU (stand-in for megatron-core's GPU calls), 2 ranks"


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in GRANTS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CUDA_VISIBLE_DEVICES", "0"),
        ("CUDA_VISIBLE_DEVICES", "2,3"),
        ("CUDA_VISIBLE_DEVICES", "GPU-8f9c"),
        ("SLURM_JOB_GPUS", "0"),
        ("SLURM_STEP_GPUS", "0,1"),
        ("SLURM_GPUS_ON_NODE", "8"),
        ("GPUS_PER_NODE", "h100:4"),
    ],
)
def test_granted_gpus_that_torch_does_not_see_are_an_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"^{name}={value} in the environment grants GPUs, but torch .* sees none: "):
        where(2)
    for meant in ("", "-1", "NoDevFiles"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", meant)
        assert where(2) == CPU


@pytest.mark.parametrize(
    ("name", "value"), [("SLURM_JOB_GPUS", ""), ("SLURM_GPUS_ON_NODE", "0"), ("GPUS_PER_NODE", "")]
)
def test_a_job_without_gpus_trains_on_the_cpu_and_says_so(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert where(1) == CPU.replace("2 ranks", "1 rank")
    monkeypatch.setenv(name, value)
    assert where(2) == CPU


def test_gpus_are_named_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    assert where(8) == "8 ranks on NVIDIA H100 80GB HBM3 x 8"
    assert where(16) == "16 ranks on NVIDIA H100 80GB HBM3 x 8 of each node"


def test_a_run_begins_its_log_with_it_and_is_refused_before_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from megatron_speech.training.run import pretrain

    config = make_config(tmp_path / "run", make_sources(tmp_path), train={"stop_at_step": 1})
    monkeypatch.setenv("SLURM_JOB_GPUS", "0,1")
    with pytest.raises(ValueError, match="grants GPUs"):
        pretrain(config, world=(0, 1))
    assert not config.folder.exists()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    pretrain(dataclasses.replace(config), world=(0, 1))
    first = (config.folder / "logs" / "rank_0.log").read_text().splitlines()[0]
    assert first.endswith("INFO CPU (stand-in for megatron-core's GPU calls), 1 rank")


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("auto") == "cpu" == resolve_device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [resolve_device(each) for each in ("auto", "cpu", "cuda", "cuda:1")] == ["cuda", "cpu", "cuda", "cuda:1"]
    with pytest.raises(ValueError, match=r"^device=cuda:2: torch sees 2 GPUs here; use cpu or auto"):
        resolve_device("cuda:2")


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^device=cuda: torch sees no GPU here; use cpu or auto, or a machine"):
        resolve_device("cuda")
