"""The end of a document is found where tokenizer folders keep it, and a folder that names none says what was read."""

import json
from pathlib import Path

import pytest

from megatron_speech.text_tokenizer.tokenizer import TextTokenizer

END = 256
"""Id of <|endoftext|> in the byte tokenizer."""


def _folder(folder: Path, files: dict[str, object]) -> Path:
    TextTokenizer.load("bytes").save(folder)
    (folder / "tokenizer_config.json").unlink()
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer_config.json": {"eos_token": "<|endoftext|>"}},
        {"tokenizer_config.json": {"eos_token": {"content": "<|endoftext|>", "lstrip": False}}},
        {"tokenizer_config.json": {"eos_token": ["<|endoftext|>"]}},
        {"tokenizer_config.json": {"eos_token": None}, "special_tokens_map.json": {"eos_token": "<|endoftext|>"}},
        {"special_tokens_map.json": {"eos_token": {"content": "<|endoftext|>"}}},
        {"generation_config.json": {"eos_token_id": END}},
        {"generation_config.json": {"eos_token_id": [END, 3]}},
        {"generation_config.json": {"eos_token_id": ["<|endoftext|>"]}},
        {"generation_config.json": {"eos_token_id": 999}, "config.json": {"eos_token_id": END}},
        {"config.json": {"model_type": "any", "text_config": {"eos_token_id": END}}},
        {"tokenizer_config.json": {"eos_token": "<gone>"}, "config.json": {"eos_token_id": END}},
    ],
)
def test_the_end_of_a_document_is_found_where_folders_keep_it(tmp_path: Path, files: dict[str, object]) -> None:
    assert TextTokenizer.load(_folder(tmp_path / "t", files)).end_of_document == END


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no file of .*t .tokenizer_config.json, special_tokens_map.json, generation_config.json, config.json"),
        ({"config.json": {"eos_token_id": None}}, "config.json of .*t "),
        ({"tokenizer_config.json": {}, "generation_config.json": {"eos_token_id": 999}}, "generation_config.json of "),
    ],
)
def test_a_folder_that_names_no_end_says_what_was_read(tmp_path: Path, files: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=rf"end_of_document: .*{said}.*set end_of_document to a token that it has"):
        TextTokenizer.load(_folder(tmp_path / "t", files))


@pytest.mark.parametrize("value", [3, 1.5, {"text": "x"}, [True]])
def test_an_end_of_another_type_is_named(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match=r"tokenizer_config.json: states no eos_token as tokenizers do"):
        TextTokenizer.load(_folder(tmp_path / "t", {"tokenizer_config.json": {"eos_token": value}}))
