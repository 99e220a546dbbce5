"""The main job runs whole, from packages to report, and what it leaves behind hangs together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RUN = ROOT / "runs" / "miniature-8"

ARTIFACTS = [
    "corpus",
    "audio/train",
    "audio/human",
    "speech_tokenizer",
    "codes/train",
    "tokenizer_report",
    "t2t/documents",
    "t2t/packed",
    "t2t/hf",
    "t2t/round_trip",
    "vocabulary",
    "documents/interleaved",
    "packed/interleaved",
    "packed/recognition-heldout",
    "base",
    "hf_before",
    "hf",
    "evaluation/before",
    "evaluation/after",
    "sample",
    "speech_decoder",
    "wav",
]


def run_miniature(*options: str) -> subprocess.CompletedProcess[str]:
    """`run.sh` as a user types it; two threads, whatever the test runner was given."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = ["bash", "examples/miniature/run.sh", "--budget-minutes", "8", "--run-dir", str(RUN), *options]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3600)


def facts(*parts: str) -> dict[str, Any]:
    return json.loads(RUN.joinpath(*parts, "manifest.json").read_text())["facts"]


@pytest.fixture(scope="module")
def miniature() -> Path:
    shutil.rmtree(RUN, ignore_errors=True)  # what an older version left would be skipped, not tested
    done = run_miniature()
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.stdout.count("estimate: about ") == 1
    return RUN


def test_every_step_left_its_result(miniature: Path) -> None:
    for artifact in ARTIFACTS:
        assert (miniature / artifact / "manifest.json").is_file(), artifact
    assert not list(miniature.rglob("*.partial"))
    assert (miniature / "report.md").stat().st_size > 2000


def test_the_resumed_half_goes_on_where_the_first_stopped(miniature: Path) -> None:
    """Pipeline parallel, stopped, resumed data parallel: every step once, in order, no jump of the loss."""
    records = [json.loads(line) for line in (miniature / "pretrain" / "metrics.jsonl").read_text().splitlines()]
    steps = [record["step"] for record in records]
    assert steps == list(range(1, len(steps) + 1))
    assert [record["consumed_samples"] for record in records] == [4 * step for step in steps]
    speech = [record["loss_by_modality"]["speech"] for record in records if "speech" in record["loss_by_modality"]]
    assert speech[-1] < speech[0] - 1
    stop, end = (json.loads(line) for line in (miniature / "pretrain" / "validation.jsonl").read_text().splitlines())
    assert [stop["step"], end["step"]] == [len(steps) // 2, len(steps)]
    for source, before in stop["losses"].items():  # the same held-out rows
        for modality, loss in before.items():
            assert end["losses"][source][modality] < loss + 0.5, (source, modality)  # four more steps of learning
    assert abs(end["losses"]["text"]["text"] - stop["losses"]["text"]["text"]) < 0.5  # a lost model: ln(50k) = 10.8


def test_no_unheard_capital_is_heard(miniature: Path) -> None:
    """The capitals of the written-only countries occur in no utterance that anything was trained on."""
    questions = [json.loads(line) for line in (miniature / "corpus" / "questions.jsonl").read_text().splitlines()]
    unheard = [q["metadata"] for q in questions if q["metadata"]["group"] == "written_only"]
    assert len(unheard) > 50
    from megatron_speech.data.shards.documents import read_documents

    heard = [document.meta["text"] for document in read_documents(miniature / "codes" / "train")]
    for fact in unheard:
        assert not [text for text in heard if fact["country"] in text and fact["answer"] in text], fact


def test_the_export_is_an_ordinary_model(miniature: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(miniature / "hf")
    tokenizer = AutoTokenizer.from_pretrained(miniature / "hf")
    assert type(model).__name__ == "LlamaForCausalLM"
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.convert_tokens_to_ids("<|audio_0|>") == len(tokenizer) - facts("speech_tokenizer")["codebook_size"]


def test_a_second_call_skips_what_is_done(miniature: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in miniature.rglob("manifest.json")}
    again = run_miniature()
    assert again.returncode == 0
    assert "estimate" not in again.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_budget_needs_another_folder(miniature: Path) -> None:
    refused = run_miniature("--budget-minutes", "9")
    assert refused.returncode == 2
    assert "choose another --run-dir" in refused.stderr
