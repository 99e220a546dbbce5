"""Files of a vocabulary folder that were damaged or edited: named before they reach a shard or an export."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from megatron_speech.artifacts.manifest import MANIFEST, read_manifest
from megatron_speech.checkpoint.hf_import import convert_from_hf
from megatron_speech.config.stages.convert import ConvertFromHfConfig
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_files import require_whole
from tests.toy_text_models import chat_model, export, import_text_model

NAMES = ("LICENSE", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "vocabulary.json")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A base model, its vocabulary and its import."""
    (chat_model(tmp_path / "text") / "LICENSE").write_text("Free since 2020.")
    import_text_model(tmp_path)
    return tmp_path


def harms(path: Path) -> list[bytes]:
    """Contents of a damaged or edited file that still can be read."""
    whole = path.read_bytes()
    return [whole[:-1], whole + b"\n", bytes([whole[0] ^ 1]) + whole[1:], whole.replace(b"2", b"3", 1), b""]


def test_every_file_is_covered(made: Path) -> None:
    folder = made / "vocabulary"
    assert sorted(read_manifest(folder).facts["files"]) == sorted(NAMES)
    assert {path.name for path in folder.iterdir()} == {*NAMES, MANIFEST}
    require_whole(folder)


@pytest.mark.parametrize("name", NAMES)
def test_any_damage_is_named_before_an_export(made: Path, name: str) -> None:
    path = made / "vocabulary" / name
    for harm in harms(path):
        path.write_bytes(harm)
        with pytest.raises(ValueError, match=rf"vocabulary/{name}.* (differs from its checksum|not a usable)") as error:
            export(made, made / "base")
        assert "\n" not in str(error.value) and not (made / "hf").exists()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name}"):
        export(made, made / "base")


def test_a_damaged_tokenizer_is_named_before_text_is_encoded(made: Path) -> None:
    """Two ids that changed places leave a tokenizer that can be read."""
    path = made / "vocabulary" / "tokenizer.json"
    content = json.loads(path.read_text())
    ids = content["model"]["vocab"]
    ids["a"], ids["b"] = ids["b"], ids["a"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"vocabulary/tokenizer\.json differs from its checksum in manifest\.json"):
        TextTokenizer.load(made / "vocabulary")


def test_folders_without_checksums_are_taken_as_they_are(made: Path) -> None:
    folder = made / "vocabulary"
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["facts"]["files"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / "tokenizer_config.json").write_text("{}")
    require_whole(folder)
    hf = export(made, made / "base")
    (hf / "tokenizer_config.json").write_text("{}")
    require_whole(hf)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"transformers_version": "9.9.9", "_from_model_config": True}, None),
        ({"temperature": 0.9}, "temperature: 0.9 -> 0.6"),
        ({"eos_token_id": 256}, "eos_token_id: [256, 258] -> [258, 256]"),
        ({"pad_token_id": 9}, "pad_token_id: 9 -> 259"),
        ({"eos_token_id": 99_999}, "id 99999 is none of the vocabulary's"),
        ({"eos_token_id": "x"}, "id 'x' is none of the vocabulary's"),
    ],
)
def test_generation_settings_that_exports_will_not_have_are_told(
    made: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, object], said: str | None
) -> None:
    path = made / "text" / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with caplog.at_level(logging.WARNING):
        config = ConvertFromHfConfig(model=made / "text", vocabulary=made / "vocabulary", output=made / "again")
        convert_from_hf(config)
    assert ("exports will have the generation settings of" in caplog.text) == bool(said)
    assert said is None or said in caplog.text
