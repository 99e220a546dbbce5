"""Small files around a checkpoint that are damaged or misplaced: found before any tensor is written, in one line."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint import hf_export
from tests.toy_text_models import export, import_text_model, text_model

ORIGIN = {"base": {"name": "text"}, "sources": {"a": {"task": "text", "licences": [], "languages": ["en"]}}}
GOOD = {"step": 4, "losses": {"text": {"text": 1.25}}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary, and a run folder with a checkpoint of step 4."""
    folder = tmp_path_factory.mktemp("made")
    text_model(folder / "text", "llama", tied=True)
    base, _ = import_text_model(folder)
    checkpoint = shutil.copytree(base, folder / "run" / "checkpoints" / "step_4")
    (checkpoint / "manifest.json").unlink()
    state = json.loads((checkpoint / "state.json").read_text())
    (checkpoint / "state.json").write_text(json.dumps({**state, "step": 4}))
    names = json.loads((checkpoint / "checksums.json").read_text())
    folders.write_checksums(checkpoint, folders.checksums(checkpoint / name for name in names))
    (folder / "run" / "config.yaml").touch()
    (folder / "run" / "origin.json").write_text(json.dumps(ORIGIN))
    (folder / "run" / "validation.jsonl").write_text(json.dumps(GOOD) + "\n")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "own")


def refused(folder: Path, monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    """The export says why in one line, has written no tensor and leaves no folder."""
    monkeypatch.setattr(hf_export, "write_safetensors", lambda *_, **__: pytest.fail("tensors were written"))
    with pytest.raises(ValueError, match=message) as error:
        export(folder, folder / "run")
    assert "\n" not in str(error.value) and not (folder / "hf").exists()


@pytest.mark.parametrize(
    "content",
    [
        *("", "3", "{}", "[]", "null", '"text"', '{"base": {}, "sources": null}', '{"base": {}, "sources": {"a": {}}}'),
        *('{"sources": {}}', '{"base": "x", "sources": {}}', '{"base": {"licences": []}, "sources": {}}'),
        *('{"base": {"name": 3}, "sources": {}}', '{"base": {"name": "x", "license": "mit"}, "sources": {}}'),
        *('{"base": {"name": "x", "base_model": [3]}, "sources": {}}', "[" * 99999),
        '{"base": null, "sources": {"a": {"task": "text", "licences": null, "languages": []}}}',
    ],
)
def test_a_damaged_origin_is_named_before_any_tensor(folder: Path, monkeypatch, content: str) -> None:
    (folder / "run" / "origin.json").write_text(content)
    refused(folder, monkeypatch, r"run/origin\.json is damaged: .*; restore it from a copy")
    (folder / "run" / "origin.json").unlink()
    monkeypatch.undo()
    assert "Data: not recorded." in (export(folder, folder / "run") / "README.md").read_text()


def test_licences_that_are_known_in_part_are_told_in_part(folder: Path) -> None:
    terms = {"mixed": ["MIT", "not recorded"], "own": ["not recorded"], "none": [], "known": ["MIT", "CC0-1.0"]}
    sources = {name: {"task": "text", "licences": licences, "languages": []} for name, licences in terms.items()}
    (folder / "run" / "origin.json").write_text(json.dumps({"base": {}, "sources": sources}))
    card = (export(folder, folder / "run") / "README.md").read_text()
    assert "license: unknown" in card and "Its licence is unknown: whoever publishes it chooses one" in card
    assert "| mixed | text | MIT; that of a part not recorded |" in card
    assert "| own | text | not recorded |" in card and "| none | text | not recorded |" in card
    assert "| known | text | MIT, CC0-1.0 |" in card


@pytest.mark.parametrize(
    "line",
    [
        *(
            '{"step": "4", "losses": {}}',
            '{"step": null, "losses": {}}',
            '{"losses": {}}',
            '{"step": true, "losses": {}}',
        ),
        *('{"step": 4, "losses": {"text": 3}}', '{"step": 4, "losses": {"text": {"text": "x"}}}', '{"step": 4'),
        *('{"step": 4, "losses": {"text": {"text": null}}}', '{"step": 4, "losses": {"text": {"text": NaN}}}'),
        *('{"step": 4, "losses": []}', "[1]", "3", "[" * 99999, '{"step": 4, "losses": {"text": {"text": 1e999}}}'),
    ],
)
def test_a_damaged_line_of_losses_is_left_out_and_counted(folder: Path, caplog, line: str) -> None:
    with (folder / "run" / "validation.jsonl").open("a") as file:
        file.write(line + "\n")
    with caplog.at_level(logging.WARNING):
        card = (export(folder, folder / "run") / "README.md").read_text()
    assert "| text, text | 4 | 1.250 |" in card
    assert "validation.jsonl: 1 lines have no held-out losses" in caplog.text


@pytest.mark.parametrize("facts", [[], {"text_tokenizer": 3}, {"speech_tokenizer": "x"}, {"speech_tokenizer": [1]}])
def test_a_damaged_manifest_of_the_vocabulary_is_named_before_any_tensor(folder: Path, monkeypatch, facts) -> None:
    path = folder / "vocabulary" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "facts": facts}))
    refused(folder, monkeypatch, r"vocabulary/manifest\.json is damaged")


@pytest.mark.parametrize("name", ["step_99", "step_2", "step_0"])
def test_a_checkpoint_with_the_name_of_another_step_is_refused(folder: Path, monkeypatch, name: str) -> None:
    checkpoints = folder / "run" / "checkpoints"
    (checkpoints / "step_4").rename(checkpoints / name)
    with pytest.raises(ValueError, match=f"{name} holds the checkpoint of step 4: it was renamed or swapped"):
        folders.read_state(checkpoints / name)
    refused(folder, monkeypatch, f"{name} holds the checkpoint of step 4: .* give it back the name step_4")
