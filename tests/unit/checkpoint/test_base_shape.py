"""A run that names its base takes the model's shape from there; what is written stays as if it had been given."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.commands.main import read_command_line
from megatron_speech.commands.table import find
from megatron_speech.config.parsing.parse import dump_yaml
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.training import PretrainConfig
from tests.toy_runs import MODEL, make_base

OTHERS = ["--folder", "run", "--train.tokens", "64", "--data.sources", "{a: {folder: packed, task: text}}"]
SHAPE = {
    name: str(getattr(MODEL, name))
    for name in ("num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads", "num_query_groups")
}
BY_HAND = [word for name, value in SHAPE.items() for word in (f"--model.{name}", value)]


def _read(*words: str, command: str = "pretrain") -> Any:
    return read_command_line(find(command), [*words, *OTHERS])


@pytest.mark.parametrize("kv_channels", [None, 8])
def test_the_shape_of_the_base_resolves_to_the_same_bytes_as_by_hand(tmp_path: Path, kv_channels: int | None) -> None:
    base = make_base(tmp_path / "base", dataclasses.replace(MODEL, kv_channels=kv_channels, init_method_std=0.5))
    dump_yaml(_read("--model.base", base, *BY_HAND), tmp_path / "by_hand.yaml")
    dump_yaml(_read("--model.base", base), tmp_path / "from_base.yaml")
    dump_yaml(_read(f"--model={{base: {base}}}"), tmp_path / "as_mapping.yaml")
    written = (tmp_path / "by_hand.yaml").read_bytes()
    assert (tmp_path / "from_base.yaml").read_bytes() == (tmp_path / "as_mapping.yaml").read_bytes() == written
    assert b"num_layers: 2" in written
    assert b"kv_channels: null" in written
    assert b"init_method_std: 0.02" in written


def test_a_width_of_heads_that_is_not_plain_is_taken_too(tmp_path: Path) -> None:
    wide = dataclasses.replace(MODEL, kv_channels=16, qk_layernorm=True)
    config: PretrainConfig = _read("--model.base", make_base(tmp_path / "base", wide))
    assert config.model == dataclasses.replace(wide, base=str(tmp_path / "base"))


def test_text_to_token_models_and_plans_take_it_too(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", MODEL)
    found = dataclasses.replace(MODEL, base=base)
    pairs = ["--folder", "run", "--train.tokens", "64", "--pairs", "packed", "--seq_length", "32"]
    assert read_command_line(find("train_text_to_token"), ["--model.base", base, *pairs]).model == found
    numbers = ["--num_text_ids", "60", "--num_speech_ids", "60"]
    assert _read("--model.base", base, *numbers, command="plan_parameters").model == found
    assert _read("--model.base", base, command="plan_mixture").model == found


def test_every_given_key_must_agree_with_themake_base(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", MODEL)
    says = (
        rf"^{base}: model.num_layers=2 there, 3 in this run, model.num_attention_heads=4 there, 0 in this run, "
        r"model.kv_channels=8 there, 16 in this run; make them equal$"
    )
    given = ["--model.num_layers", "3", "--model.num_attention_heads", "0", "--model.kv_channels", "16"]
    with pytest.raises(ValueError, match=says):
        _read("--model.base", base, *given)
    with pytest.raises(ValueError, match=r"^model.num_layers=two must be an integer; correct it$"):
        _read("--model.base", base, "--model.num_layers", "two")
    with pytest.raises(ValueError, match=r"^model.num_layer: no such key; did you mean 'num_layers'\?$"):
        _read("--model.base", base, "--model.num_layer", "2")


def test_a_base_that_is_not_there_is_missed_only_if_a_size_is_not_given(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert _read("--model.base", nowhere, *BY_HAND).model == dataclasses.replace(MODEL, base=nowhere)
    says = rf"^model.base={nowhere}: checkpoint folder {nowhere} does not exist; .*; or give the shape: model.num_query"
    with pytest.raises(FileNotFoundError, match=says):
        _read("--model.base", nowhere, *BY_HAND[:-2])


def test_without_a_base_the_defaults_stay() -> None:
    assert _read("--model.num_layers", "3").model == ModelConfig(num_layers=3)


def test_the_printed_configuration_shows_the_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = make_base(tmp_path / "base", MODEL)
    with pytest.raises(SystemExit):
        _read("--model.base", base, "--print_config")
    assert "  hidden_size: 32\n" in capsys.readouterr().out
