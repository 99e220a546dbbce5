"""Differences of two run folders are named, except the random identities of checkpoints."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import xxhash
from safetensors.numpy import save_file

from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.pack import pack_shards
from megatron_speech.data.plan.mixture import compile_plan
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.data.shards.sidecar import ShardIndex
from tests.ranks import run_ranks
from tests.same_outputs import Comparison, compare
from tests.toy_runs import check_trains, make_config, make_sources
from tests.toys import VOCABULARY, documents_of, write_codes, write_jsonl

SCRIPT = Path(__file__).parent / "same_outputs.py"
TAR_BLOCK = 512


def make_run(root: Path, monkeypatch: pytest.MonkeyPatch, *, random: int = 0, speed: float = 1.0) -> Path:
    """A run folder with every kind of file, made from inside as examples/miniature/run.sh makes one.

    `random` is what torch draws for a checkpoint's index, `speed` what a clock measured.
    """
    root.mkdir()
    monkeypatch.chdir(root)
    write_codes(Path("codes/train"), _codes(), num_codes=50, fingerprint="")
    checksums = Path("t2t/run/checkpoints/step_8/checksums.json")
    write_jsonl(checksums, {".metadata": {"xxh3": f"{random:032x}"}})
    write_jsonl(Path("t2t/run/metrics.jsonl"), {"tokens_per_s": speed, "step": 1, "loss": 2.5})
    with make_artifact(Path("hf"), kind="hugging_face", config={}, inputs=[checksums]) as draft:
        save_file({"w": np.arange(4.0)}, draft.folder / "model.safetensors")
    identity = json.loads(Path("hf/manifest.json").read_text())["inputs"][str(checksums)]
    with make_artifact(Path("documents"), kind="documents", config={}, inputs=[Path("hf")]) as draft:
        documents = (_spoken(document, identity[:16]) for document in documents_of([9] * 12))
        draft.facts = write_documents(draft.folder, documents, vocabulary=VOCABULARY, name="interleaved")
    pack_shards(PackShardsConfig(input=Path("documents"), output=Path("packed"), seq_length=16))
    _write_plan(Path("pretrain/plan.json"))
    body = orjson.dumps({"model": identity})
    Path("documents.journal").write_bytes(b"%s %s\n" % (xxhash.xxh3_64_hexdigest(body).encode(), body))
    Path("logs").mkdir()
    Path("logs/train.log").write_text(f"{speed} tokens/s\n")
    return root


def _codes() -> list[TokenDocument]:
    return [TokenDocument(key=f"u{n}", tokens=np.arange(n, n + 5, dtype=np.int32)) for n in range(3)]


def _spoken(document: TokenDocument, model: str) -> TokenDocument:
    return TokenDocument(key=document.key, tokens=document.tokens, meta={"model": model})


def _write_plan(path: Path) -> None:
    config = DataConfig(seq_length=16, sources={"interleaved": SourceConfig(folder=Path("packed"), task="synthesis")})
    plan = compile_plan(config, num_samples=8, vocabulary=VOCABULARY)
    write_jsonl(path, plan.to_json())


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    first = make_run(tmp_path / "first", monkeypatch)
    return first, Path(shutil.copytree(first, tmp_path / "second"))


def named(found: Comparison) -> list[tuple[str, str]]:
    """(kind, file) of every difference."""
    return [(kind, sentence.partition(":")[0]) for kind, sentence in found.differences]


def test_two_runs_of_other_speed_and_another_random_number_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_run(tmp_path / "first", monkeypatch, random=1, speed=1.0)
    second = make_run(tmp_path / "second", monkeypatch, random=2, speed=9.0)
    for name in ("documents/interleaved-000000.tar", "documents/shards.json", "packed/manifest.json"):
        assert (first / name).read_bytes() != (second / name).read_bytes(), f"{name}: this test shows nothing"
    found = compare(first, second)
    assert named(found) == []
    assert {"codes", "shards", "plans", "journals", "exports", "metrics", "manifests"} <= set(found.compared)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("codes", "codes/train/codes-000000.tar"),
        ("codes", "codes/train/codes-000000.mspx"),
        ("shards", "documents/interleaved-000000.tar"),
        ("shards", "documents/interleaved-000000.mspx"),
        ("shards", "documents/shards.json"),
        ("shards", "packed/shards.json"),
        ("plans", "pretrain/plan.json"),
        ("journals", "documents.journal"),
        ("exports", "hf/model.safetensors"),
        ("metrics", "t2t/run/metrics.jsonl"),
        ("manifests", "hf/manifest.json"),
        ("manifests", "documents/manifest.json"),
        ("others", "codes/train/vocabulary.json"),
    ],
)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_one_flipped_byte_is_named(runs: tuple[Path, Path], kind: str, name: str, share: float) -> None:
    path = runs[1] / name
    content = bytearray(path.read_bytes())
    at = int(share * (content.find(b'"made_by"') if kind == "manifests" else len(content)))
    while chr(content[at]).isspace() and path.suffix == ".json":  # between values it says nothing
        at += 1
    content[at] ^= 1
    path.write_bytes(content)
    assert (kind, name) in named(compare(*runs))


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.rename(path.with_suffix(".old"))])
def test_a_file_of_one_run_alone_is_named(runs: tuple[Path, Path], change: Callable[[Path], Any]) -> None:
    change(runs[1] / "hf" / "model.safetensors")
    found = compare(*runs)
    assert ("exports", f"hf/model.safetensors: only in {runs[0]}") in found.differences


def test_other_documents_differ_though_their_checksums_fit(runs: tuple[Path, Path]) -> None:
    """A shard that was made anew, with its sidecar, its list and all that is made from it: the content is compared."""
    shard = ShardIndex.load(runs[1] / "documents", "interleaved-000000.tar")
    at = shard.member(0, "tokens.i32").offset
    path = runs[1] / "documents" / "interleaved-000000.tar"
    content = bytearray(path.read_bytes())
    content[at] += 1
    path.write_bytes(content)
    assert named(compare(*runs)) == [("shards", "documents/interleaved-000000.tar")]


def test_the_command_prints_json_last_and_its_status_says_whether_all_is_the_same(runs: tuple[Path, Path]) -> None:
    done = run_script(*map(str, runs))
    result = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, result["same"]) == (0, True)
    assert result["skipped"] == 2  # a log, and the checksums of a checkpoint
    (runs[1] / "t2t" / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": 2.75}\n')
    done = run_script(*map(str, runs))
    result = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, result["same"], result["kinds"]["metrics"]["different"]) == (1, False, 1)
    assert "t2t/run/metrics.jsonl: line 1.loss: 2.5 -> 2.75" in done.stdout


def test_a_seeded_training_leaves_the_same_files_twice(tmp_path: Path) -> None:
    """Metrics, plan, checkpoints with the optimizer's state: only the clocks and a random number differ."""
    sources = make_sources(tmp_path / "sources")
    for name in ("first", "second"):
        run_ranks(check_trains, 2, make_config(tmp_path / name / "run", sources, steps=4))
    found = compare(tmp_path / "first", tmp_path / "second")
    assert found.differences == []
    assert {"metrics", "plans", "checkpoints"} <= set(found.compared)
    other = make_config(tmp_path / "third" / "run", sources, steps=4, train={"seed": 7})
    run_ranks(check_trains, 2, other)
    assert {"metrics", "checkpoints"} <= {
        kind for kind, _ in compare(tmp_path / "first", tmp_path / "third").differences
    }


@pytest.mark.parametrize("what", ["absent", "empty", "unfinished"])
def test_what_cannot_be_compared_is_refused(runs: tuple[Path, Path], tmp_path: Path, what: str) -> None:
    folder = tmp_path / "other"
    if what != "absent":
        folder.mkdir()
    if what == "unfinished":
        write_jsonl(folder / "hf.partial" / "identity.json", {})
    done = run_script(str(runs[0]), str(folder))
    assert done.returncode == 2
    assert str(folder) in done.stderr
    assert "Traceback" not in done.stderr


def run_script(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
