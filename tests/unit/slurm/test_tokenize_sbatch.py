"""The array scripts of slurm/ against stand-ins for sbatch, srun and Python: each submits itself, does its part."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

PYTHON = """#!/usr/bin/env bash
shift
if [[ $* == *part=count ]]; then echo 2500; else printf '%s\\n' "$RAYON_NUM_THREADS" "$OMP_NUM_THREADS" "$@" >ran; fi
"""
SRUN = '#!/usr/bin/env bash\necho "$1" >srun\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
SBATCH = '#!/usr/bin/env bash\necho "$@" >>submitted\necho "71;cluster"\n'


TOOLS = ["tokenize_text", "tokenize_speech", "build_interleaved", "evaluate"]


def run(site: Path, tool: str, *arguments: str, **variables: str) -> None:
    """Run the script of `tool` in `site` with stand-ins first on PATH and `variables` as SLURM would set them."""
    for name, text in {"bin/srun": SRUN, "bin/sbatch": SBATCH, ".venv/bin/python": PYTHON}.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
        (site / name).chmod(0o755)
    (site / "slurm").mkdir(exist_ok=True)
    shutil.copy(ROOT / "slurm" / "site.env.example", site / "slurm" / "site.env")
    shutil.copy(ROOT / "slurm" / "array_tool.sh", site / "slurm")
    own = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "RAYON_"))}
    environment = {**own, "PATH": f"{site / 'bin'}:{os.environ['PATH']}", "RAYON_NUM_THREADS": "all", **variables}
    command = ["bash", str(ROOT / "slurm" / f"{tool}.sbatch"), *arguments]
    subprocess.run(command, cwd=site, env=environment, check=True)


@pytest.mark.parametrize("tool", TOOLS)
def test_it_submits_an_array_and_a_job_that_waits_for_it(tmp_path: Path, tool: str) -> None:
    run(tmp_path, tool, "--config", "a.yaml")
    script = f"{tmp_path}/slurm/{tool}.sbatch --config a.yaml"
    assert (tmp_path / "submitted").read_text().splitlines() == [
        f"--parsable --array=0-999 --cpus-per-task=16 {script}",
        f"--dependency=afterok:71 --kill-on-invalid-dep=yes {script}",
    ]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("variables", "threads", "part"),
    [
        (
            {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "9"},
            ["16", "16"],
            ["--run.part=tasks", "--run.job=3", "--run.jobs=9"],
        ),
        ({}, ["all", "1"], ["--run.part=finish"]),
    ],
)
def test_a_job_does_its_part(
    tmp_path: Path, tool: str, variables: dict[str, str], threads: list[str], part: list[str]
) -> None:
    run(tmp_path, tool, "--config", "a b.yaml", SLURM_JOB_ID="8", SLURM_SUBMIT_DIR=str(tmp_path), **variables)
    assert (tmp_path / "ran").read_text().splitlines() == [*threads, "--config", "a b.yaml", *part]
    assert not (tmp_path / "submitted").exists()
