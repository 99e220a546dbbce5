"""The training jobs of slurm/ against stand-ins for srun, scontrol, Python: command line, signal, requeue, limit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

LAUNCHER = f"""#!{sys.executable}
import pathlib, signal, sys, time
here = pathlib.Path(sys.argv[0]).parents[2]
ignored = signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
stopped = []
signal.signal(signal.SIGUSR1, lambda *_: stopped.append(1))
(here / "started").write_text("\\n".join([str(ignored), *sys.argv[1:]]))
deadline = time.monotonic() + 20
while not stopped and "finishes" not in sys.argv and time.monotonic() < deadline:
    time.sleep(0.02)
time.sleep(0.1)
(here / "saved").touch()
sys.exit(3 if "fails" in sys.argv else 0)
"""
SRUN = '#!/usr/bin/env bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
SCONTROL = '#!/usr/bin/env bash\nif [[ $1 == show ]]; then echo node1; echo node2; else echo "$@" >>requeued; fi\n'


# What a job appends to its arguments, by its name and that of its tool.
JOBS = {"pretrain": ["--checkpoint.resume=if_present"], "train_speech_tokenizer": []}


@pytest.fixture(params=JOBS)
def job_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def start(site: Path, job_name: str, *arguments: str, restarts: str = "0") -> subprocess.Popen[bytes]:
    """Run the batch script in `site` as SLURM would, with stand-ins first on PATH."""
    files = {"bin/srun": SRUN, "bin/scontrol": SCONTROL, ".venv/bin/python": LAUNCHER}
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
        (site / name).chmod(0o755)
    (site / "slurm").mkdir()
    shutil.copy(ROOT / "slurm" / "site.env.example", site / "slurm" / "site.env")
    shutil.copy(ROOT / "slurm" / "training_job.sh", site / "slurm")
    environment = {
        **os.environ,
        "PATH": f"{site / 'bin'}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(site),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_RESTART_COUNT": restarts,
    }
    command = ["bash", str(ROOT / "slurm" / f"{job_name}.sbatch"), *arguments]
    return subprocess.Popen(command, cwd=site, env=environment)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists(), f"{path.name} did not appear"
    time.sleep(0.05)


def test_one_launcher_per_node_with_the_overrides_last_but_resume(tmp_path: Path, job_name: str) -> None:
    assert start(tmp_path, job_name, "--config", "a b.yaml", "finishes").wait(30) == 0
    ignored, *arguments = (tmp_path / "started").read_text().splitlines()
    assert ignored == "True"
    assert arguments == [
        f"{tmp_path}/tools/launch.py",
        "--nnodes=2",
        "--nproc-per-node=8",
        "--rdzv-backend=c10d",
        "--rdzv-id=7-0",
        "--rdzv-endpoint=node1:29500",
        f"{tmp_path}/tools/{job_name}.py",
        "--config",
        "a b.yaml",
        "finishes",
        *JOBS[job_name],
    ]
    assert not (tmp_path / "requeued").exists()


def test_a_plan_that_does_not_fit_ends_a_pre_training_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAN", "--gpu H100 fails finishes")
    assert start(tmp_path, "pretrain", "--config", "a b.yaml").wait(30) == 3
    assert (tmp_path / "started").read_text().splitlines()[1:] == [
        f"{tmp_path}/tools/plan_run.py",
        *("--config", "a b.yaml", "--checkpoint.resume=if_present"),
        *("--gpu", "H100", "fails", "finishes"),
        *("--gpus", "16", "--search", "false"),
    ]


@pytest.mark.parametrize(("restarts", "requeued"), [("0", True), ("20", False)])
def test_the_signal_saves_then_requeues_unless_the_limit_is_reached(
    tmp_path: Path, job_name: str, restarts: str, requeued: bool
) -> None:
    job = start(tmp_path, job_name, restarts=restarts)
    wait_for(tmp_path / "started")
    job.send_signal(signal.SIGUSR1)
    assert job.wait(30) == 0
    assert (tmp_path / "saved").exists()
    assert (tmp_path / "requeued").exists() == requeued


def test_a_failed_run_fails_the_job_and_is_not_requeued(tmp_path: Path, job_name: str) -> None:
    job = start(tmp_path, job_name, "fails")
    wait_for(tmp_path / "started")
    job.send_signal(signal.SIGUSR1)
    assert job.wait(30) == 3
    assert not (tmp_path / "requeued").exists()
