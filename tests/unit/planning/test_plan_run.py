"""`plan_run` answers without torch, as tables, JSON and a figure; a user's mistake is one line and status 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ["--config", "examples/glm4_9b/pretrain.yaml", "--config", "examples/glm4_9b/plan.yaml"]
WITHOUT_TORCH = (
    "import sys, runpy\n"
    "for name in ('torch', 'transformers', 'megatron.core'): sys.modules[name] = None\n"
    "sys.argv = ['plan_run.py', *sys.argv[1:]]\n"
    f"runpy.run_path({str(ROOT / 'tools' / 'plan_run.py')!r}, run_name='__main__')"
)


def _run(*words: str, example: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_TORCH, *(EXAMPLE if example else ()), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)


def test_it_prints_tables_without_torch() -> None:
    shown = _run("--gpus", "64")
    assert shown.returncode == 0, shown.stderr
    assert "predictions with 90 % intervals, no measurements" in shown.stdout
    for title in ("Layouts", "A step", "Memory", "neighbours", "Strong scaling", "Data", "Budget"):
        assert title in shown.stdout


def test_help_needs_no_torch() -> None:
    assert "--gpus" in _run("--help", example=False).stdout


@pytest.mark.parametrize(
    "cluster",
    [
        ["--gpus", "256"],
        ["--gpus", "1024"],
        ["--gpus", "72", "--gpu", "GB300", "--train.global_batch_size", "1152"],
    ],
)
def test_json_of_the_example_on_every_cluster(cluster: list[str]) -> None:
    shown = _run("--json", *cluster)
    assert shown.returncode == 0, shown.stderr
    plan = json.loads(shown.stdout)
    assert plan["kind"] == "prediction"
    assert plan["parameters"] == 9_535_217_664
    assert plan["own"]["fits"]
    assert plan["fastest"][0]["tokens_per_s_per_gpu"] >= plan["own"]["tokens_per_s_per_gpu"]
    low, high = plan["own"]["interval_90"]
    assert low < plan["own"]["tokens_per_s_per_gpu"] < high
    assert plan["own"]["step_s"] == pytest.approx(sum(plan["own"]["step_s_by_component"].values()))
    assert plan["data"]["seen"] == pytest.approx(1055.7e9, rel=0.01)
    assert plan["budget"]["days_low"] < plan["budget"]["days"] < plan["budget"]["days_high"]


def test_it_draws_memory_and_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    shown = _run("--figure", str(tmp_path / "plan.png"), "--search", "false")
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_a_finished_run_lies_beside_the_prediction(tmp_path: Path) -> None:
    lines = [
        {"step": step, "tokens_per_s": speed, "reading": {"stalled_s": stalled}}
        for step, speed, stalled in ((1, 1e3, 0.0), (2, 256 * 3000, 5.5), (3, 256 * 3000, 5.5))
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = json.loads(_run("--json", "--from_run", str(tmp_path)).stdout)["comparison"]
    assert found["measured"] == pytest.approx(3000)
    assert found["steps"] == 2
    assert not found["is_inside"]
    assert found["verdict"].startswith("waiting for data takes 50 % of a step")


def _with_lines(folder: Path, *lines: object) -> str:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder)


def test_waiting_is_counted_per_step_where_a_line_stands_for_several(tmp_path: Path) -> None:
    lines = [{"step": step, "tokens_per_s": 256 * 3000, "reading": {"stalled_s": 55.0}} for step in (10, 20, 30)]
    folder = _with_lines(tmp_path, *lines)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "tok')  # as a kill leaves it
    found = json.loads(_run("--json", "--search", "false", "--from_run", folder).stdout)["comparison"]
    assert (found["steps"], found["waiting_s"]) == (20, 5.5)


@pytest.mark.parametrize(
    "line",
    [
        [1],
        {"step": 1},
        *({"step": 1, "tokens_per_s": speed} for speed in ("a", float("nan"), -5)),
        {"step": 1, "tokens_per_s": 5, "reading": {"stalled_s": "x"}},
    ],
)
def test_a_damaged_line_of_metrics_is_named(line: object, tmp_path: Path) -> None:
    folder = _with_lines(tmp_path, {"step": 1, "tokens_per_s": 5, "reading": None}, line)
    shown = _run("--search", "false", "--from_run", folder)
    assert shown.returncode == 2
    assert shown.stderr == (
        f"error: {folder}/metrics.jsonl, line 2: no record of a training step; remove the line, or resume the run\n"
    )


def test_a_layout_that_does_not_fit_is_refused_after_the_tables() -> None:
    words = ["--parallel.pipeline_model_parallel_size", "1", "--train.micro_batch_size", "8"]
    shown = _run(*words)
    assert shown.returncode == 2
    assert "Memory of a rank" in shown.stdout
    assert "this layout needs" in shown.stderr and "mostly activations" in shown.stderr


MISTAKES = {
    "gpus=0": ["--gpus", "0"],
    "does not divide the world of 250 ranks": ["--gpus", "250"],
    "has no data sheet; did you mean": ["--gpu", "H10O"],
    "stack=x is not described; known are bridge": ["--stack", "x"],
    "corpora.speech_hours=-1.0 must be at least 0": ["--corpora.speech_hours", "-1"],
    "corpora.text_tokens=nan must be a number": ["--corpora.text_tokens", "nan"],
    "corpora.epochs.music is no kind": ["--corpora.epochs", "{music: 1}"],
    "site.storage_gb_s=0.0 must be above 0": ["--site.storage_gb_s", "0"],
    "least_efficiency=2.0 must lie between": ["--least_efficiency", "2"],
    "gpu=GB is the beginning of GB200, GB300; name one": ["--gpu", "GB"],
    "corpora.speech_hours=1e+308 must be at least 0 and at most 1e+18": ["--corpora.speech_hours", "1e308"],
    "corpora.frame_rate=0.0 must be at least 1e-06": ["--corpora.frame_rate", "0"],
    "site.failure_gpu_hours=0.001: 256 GPUs fail every 0.0141 s": ["--site.failure_gpu_hours", "0.001"],
    "precision.dtype=float32: speeds are known for bfloat16": ["--precision.dtype", "float32"],
    "figure=plan.pdf must name a .png file": ["--figure", "plan.pdf"],
    "from_run=nowhere holds no config.yaml": ["--from_run", "nowhere"],
    "site.prices=": ["--site.prices", "nowhere.yaml"],
    "from_run=nowhere holds no metrics.jsonl": ["--from_run", "nowhere"],
    "no layout fits; the smallest": ["--gpus", "8", "--model.num_layers", "4000"],
    "model.ffn_hidden_size": ["--model.ffn_hidden_size", "13697"],
    "precision=fp8 does not exist on A100": [
        "--gpu",
        "A100",
        "--precision.fp8",
        "hybrid",
        "--precision.dtype",
        "bfloat16",
    ],
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(message: str) -> None:
    shown = _run(*MISTAKES[message], example="config.yaml" not in message)
    assert shown.returncode == 2, shown.stdout[-500:] + shown.stderr
    line = shown.stderr.strip()
    assert message in line
    assert "\n" not in line
