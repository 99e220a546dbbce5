"""Facts are read without weights, and a folder without a recogniser is named."""

import json
from pathlib import Path

import pytest

from megatron_speech.speech_tokenizer.model import save_model
from megatron_speech.speech_tokenizer.table import load_recognizer, load_speech_tokenizer, read_facts
from tests.unit.speech_tokenizer.toys import narrowed_config, toy_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the encoder alone."""
    save_model(toy_model(narrowed_config(quantize_encoder_only=True)), tmp_path / "tokenizer", text_from=tmp_path)
    return tmp_path / "tokenizer"


def test_facts_before_loading_are_those_of_the_loaded_tokenizer(folder: Path) -> None:
    facts = read_facts(folder)
    assert facts == load_speech_tokenizer(folder).facts
    assert facts.max_samples == facts.max_codes * facts.samples_per_code
    assert facts.frame_rate * facts.samples_per_code == facts.sample_rate == 16000


def test_a_folder_without_a_recogniser_is_named(folder: Path) -> None:
    assert load_speech_tokenizer(folder).recognizer is None
    with pytest.raises(ValueError, match=r"holds the encoder of a speech tokenizer only: it cannot recognise"):
        load_recognizer(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_damage_that_leaves_it_readable_is_named_before_anything_is_encoded(folder: Path, name: str) -> None:
    manifest = {"kind": "speech_tokenizer", "config": {}, "inputs": {}}
    facts = {"fingerprint": read_facts(folder).fingerprint}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "facts": facts}))
    whole = (folder / name).read_bytes()
    assert read_facts(folder).fingerprint == facts["fingerprint"]
    (folder / name).write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:] if name[0] == "m" else whole + b"\n")
    for read in (read_facts, load_speech_tokenizer):
        with pytest.raises(ValueError, match=r"model\.safetensors or config\.json differs from the fingerprint in man"):
            read(folder)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "facts": {}}))
    assert read_facts(folder).fingerprint != facts["fingerprint"]


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors does not exist; give the folder of"):
        read_facts(folder)
    with pytest.raises(FileNotFoundError, match=r"config\.json does not exist; give the folder of"):
        read_facts(folder.parent)
