"""What makes a chat model one survives import and export: template, roles of tokens, ends, generation settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from tests.toy_text_models import (
    GENERATION,
    ROLES,
    TEMPLATE,
    chat_model,
    export,
    import_text_model,
    templates,
    text_model,
)

TOOLS = "{{ tools | length }} tools" + TEMPLATE

IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def exported(folder: Path) -> Path:
    return export(folder, import_text_model(folder)[0])


def in_the_configuration(folder: Path) -> None:
    chat_model(folder)


def in_a_list_of_names(folder: Path) -> None:
    named = [{"name": "default", "template": TEMPLATE}, {"name": "tool_use", "template": TOOLS}]
    chat_model(folder, chat_template=named)


def in_a_file(folder: Path) -> None:
    chat_model(folder, chat_template=None)
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def in_several_files(folder: Path) -> None:
    in_a_file(folder)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(TOOLS)


@pytest.mark.parametrize(
    "place", [in_the_configuration, in_a_list_of_names, in_a_file, in_several_files], ids=lambda place: place.__name__
)
@pytest.mark.parametrize("tokenizer_class", ["PreTrainedTokenizerFast", "Qwen2Tokenizer", "LlamaTokenizerFast"])
def test_a_chat_is_laid_out_as_by_the_base(tmp_path: Path, place, tokenizer_class: str) -> None:
    place(tmp_path / "text")
    path = tmp_path / "text" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer_class": tokenizer_class}))
    base, ours = (AutoTokenizer.from_pretrained(each) for each in (tmp_path / "text", exported(tmp_path)))
    laid_out = templates(base)
    assert templates(ours) == laid_out and max(laid_out[0]) == 258
    assert len(laid_out) == (4 if place in (in_a_list_of_names, in_several_files) else 2)
    assert type(ours) is type(base)


def test_every_role_of_a_token_is_kept(tmp_path: Path) -> None:
    chat_model(tmp_path / "text")
    base, ours = (AutoTokenizer.from_pretrained(each) for each in (tmp_path / "text", exported(tmp_path)))
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "padding_side", "model_max_length"):
        assert getattr(ours, name) == getattr(base, name), name
    assert ours.all_special_tokens == base.all_special_tokens
    assert ours.clean_up_tokenization_spaces is True
    assert ours(["a", "abc"], padding=True).input_ids == base(["a", "abc"], padding=True).input_ids


def test_generation_keeps_its_settings_and_stops_where_the_base_stops(tmp_path: Path) -> None:
    chat_model(tmp_path / "text", generation={**GENERATION, "eos_token_id": [256, 259], "top_k": 20})
    hf = exported(tmp_path)
    settings = GenerationConfig.from_pretrained(hf)
    assert settings.eos_token_id == [256, 259, 258]  # and the end of document, at which ours was trained to stop
    assert (settings.temperature, settings.top_p, settings.top_k) == (0.6, 0.95, 20)
    assert (settings.bos_token_id, settings.pad_token_id) == (257, 259)
    model = AutoModelForCausalLM.from_pretrained(hf)
    assert model.config.eos_token_id == [256, 259, 258]
    with torch.no_grad():  # <|im_end|> is what it says next, whatever comes before
        model.get_output_embeddings().weight = torch.nn.Parameter(torch.zeros(285, 48))
        model.get_output_embeddings().weight[258] = 1
        model.model.norm.weight.fill_(0)
        model.model.norm.register_forward_hook(lambda module, inputs, output: torch.ones_like(output))
    written = model.generate(torch.tensor([[5, 6]]), max_new_tokens=9, do_sample=False)[0]
    assert written.tolist() == [5, 6, 258]


def test_settings_that_transformers_would_not_save_are_kept(tmp_path: Path) -> None:
    chat_model(tmp_path / "text", generation={"eos_token_id": 256, "do_sample": False, "temperature": 0.9})
    kept = json.loads((exported(tmp_path) / "generation_config.json").read_text())
    assert kept["temperature"] == 0.9 and kept["eos_token_id"] == [256, 258]


def test_ends_that_only_config_json_has_are_kept(tmp_path: Path) -> None:
    chat_model(tmp_path / "text")
    (tmp_path / "text" / "generation_config.json").unlink()
    path = tmp_path / "text" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [258, 256], "pad_token_id": 259}))
    settings = GenerationConfig.from_pretrained(exported(tmp_path))
    assert (settings.eos_token_id, settings.pad_token_id) == ([258, 256], 259)


def test_a_base_that_says_nothing_stops_at_the_end_of_documents(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "llama", tied=True, bos_token_id=None, eos_token_id=None)
    hf = exported(tmp_path)
    assert GenerationConfig.from_pretrained(hf).eos_token_id == 256
    assert AutoTokenizer.from_pretrained(hf).eos_token_id == 256


def test_what_is_lost_in_other_tools_comes_back_from_an_export(tmp_path: Path) -> None:
    chat_model(tmp_path / "text")
    hf = exported(tmp_path)
    for part in (AutoTokenizer, AutoModelForCausalLM):
        part.from_pretrained(hf).save_pretrained(tmp_path / "back")
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "again", text=str(tmp_path / "back"), codebook_size=20))
    before, after = (AutoTokenizer.from_pretrained(tmp_path / name) for name in ("text", "again"))
    assert templates(after) == templates(before)
    assert json.loads((tmp_path / "again" / "generation_config.json").read_text())["eos_token_id"] == [258, 256]


@pytest.mark.parametrize(
    ("tokenizer", "generation", "message"),
    [
        (
            {"added_tokens_decoder": {"299": {"content": "<|new|>"}}},
            None,
            r"added token <\|new\|> has id 299, but None",
        ),
        ({"added_tokens_decoder": {"299": {"content": "<|pad|>"}}}, None, r"added token <\|pad\|> has id 299, but 259"),
        ({}, {"eos_token_id": 99_999}, r"generation_config.json: id 99999 is none of the vocabulary's 284 ids"),
        ({}, {"eos_token_id": [256, -5]}, r"generation_config.json: id -5 is none"),
        ({}, {"pad_token_id": -2}, r"generation_config.json: id -2 is none"),
        ({}, {"eos_token_id": "x"}, r"generation_config.json: id 'x' is none"),
    ],
)
def test_ids_that_do_not_hold_are_refused_before_any_training(
    tmp_path: Path, tokenizer: dict[str, Any], generation: dict[str, Any] | None, message: str
) -> None:
    chat_model(tmp_path / "text", generation=generation, **tokenizer)
    with pytest.raises(ValueError, match=message) as error:
        build_vocabulary(BuildVocabularyConfig(output=tmp_path / "v", text=str(tmp_path / "text"), codebook_size=20))
    assert "\n" not in str(error.value) and not (tmp_path / "v").exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("generation_config.json", "[]", "generation_config.json: .* restore the file"),
        (
            "generation_config.json",
            '{"temperature": NaN}',
            "generation_config.json: temperature=nan, which is no finite",
        ),
        ("generation_config.json", '{"eos_token_id": [1.5]}', "generation_config.json: id 1.5 is none"),
        ("special_tokens_map.json", "[]", "special_tokens_map.json: .* restore the file"),
        ("added_tokens.json", '{"<|pad|>": 3}', r"its added token <\|pad\|> has id 3, but 259 in tokenizer.json"),
        ("added_tokens.json", "[]", "added_tokens.json holds no JSON object; restore the file"),
    ],
)
def test_a_damaged_file_of_the_base_is_named(tmp_path: Path, file: str, content: str, message: str) -> None:
    (chat_model(tmp_path / "text") / file).write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        build_vocabulary(BuildVocabularyConfig(output=tmp_path / "v", text=str(tmp_path / "text"), codebook_size=20))
    assert "\n" not in str(error.value) and not (tmp_path / "v").exists()


@pytest.mark.parametrize(
    "card",
    ["---\n: : [\n---\n", "---\nlicense: !!python/name:os.system\n---\n", "---\nlicense: {a: 1}\n---\n", "\0---"],
)
def test_a_card_that_cannot_be_read_says_nothing(tmp_path: Path, card: str) -> None:
    (chat_model(tmp_path / "text") / "README.md").write_text(card)
    assert "license: unknown" in (exported(tmp_path) / "README.md").read_text()


def test_a_role_of_a_token_that_does_not_exist_is_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chat_model(tmp_path / "text", pad_token="[PAD]", additional_special_tokens=["<|im_end|>", "<extra_0>"])
    hf = exported(tmp_path)
    for role in ("pad_token=[PAD]", "additional_special_tokens=<extra_0>"):
        assert f"{role} is no token of tokenizer.json and is left out" in caplog.text
    assert len(AutoTokenizer.from_pretrained(hf)) == 284


def test_roles_that_only_the_older_file_names_are_kept(tmp_path: Path) -> None:
    """As transformers wrote them once: special_tokens_map.json, and no role in tokenizer_config.json."""
    chat_model(tmp_path / "text")
    path = tmp_path / "text" / "tokenizer_config.json"
    config = {key: value for key, value in json.loads(path.read_text()).items() if key not in ROLES}
    path.write_text(json.dumps(config))
    roles = {key: value for key, value in ROLES.items() if key.endswith(("token", "tokens"))}
    as_objects = {"eos_token": {"content": "<|im_end|>", "lstrip": False, "normalized": False, "rstrip": False}}
    (tmp_path / "text" / "special_tokens_map.json").write_text(json.dumps({**roles, **as_objects}))
    ours = AutoTokenizer.from_pretrained(exported(tmp_path))
    assert (ours.bos_token, ours.eos_token, ours.pad_token) == ("<|im_start|>", "<|im_end|>", "<|pad|>")


def test_code_of_others_is_never_named(tmp_path: Path) -> None:
    remote = {"AutoTokenizer": ["tokenization_x.XTokenizer", None]}
    chat_model(tmp_path / "text", tokenizer_class="XTokenizer", auto_map=remote)
    hf = exported(tmp_path)
    config = json.loads((hf / "tokenizer_config.json").read_text())
    assert "auto_map" not in config and config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert AutoTokenizer.from_pretrained(hf).eos_token == "<|im_end|>"


@pytest.mark.parametrize("place", ["generation_config.json", "config.json"])
@pytest.mark.parametrize(
    ("key", "value"), [("pad_token_id", -1), ("bos_token_id", -1), ("eos_token_id", -1), ("eos_token_id", [256, -1])]
)
def test_an_id_of_minus_one_is_none_and_said_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str, key: str, value: Any
) -> None:
    """As configurations of old say that a model has no such token."""
    text_model(tmp_path / "text", "llama", tied=True)
    (tmp_path / "text" / "generation_config.json").unlink(missing_ok=True)
    path = tmp_path / "text" / place
    held = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**held, key: value}))
    hf = exported(tmp_path)
    assert f"{key}=-1 is no id and is left out" in caplog.text
    for name in ("config.json", "generation_config.json"):
        ids = json.loads((hf / name).read_text())
        assert "-1" not in json.dumps([ids.get(each) for each in IDS])
    assert AutoModelForCausalLM.from_pretrained(hf).model.embed_tokens.padding_idx == 256


def test_a_padding_token_that_does_not_exist_gets_no_id(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text_model(tmp_path / "text", "llama", tied=True)
    path = str(tmp_path / "text" / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    tokenizer.enable_padding(length=50)
    tokenizer.save(path)
    theirs = AutoTokenizer.from_pretrained(exported(tmp_path))
    assert "pads by [PAD], which is no token with id 0: left out" in caplog.text
    assert len(theirs) == 281 and max(theirs("a", padding=False).input_ids) < 281 and theirs.pad_token_id is None
