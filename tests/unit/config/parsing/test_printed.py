"""--print_config prints a file to edit: every key with its docstring, and what it prints loads as what it printed."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest
import yaml

from megatron_speech.config.parsing.build import entry_of
from megatron_speech.config.parsing.help import HelpPage, docs, help_text
from megatron_speech.config.parsing.parse import parse_config
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.parsing.yaml_text import read_yaml, write_yaml
from tests.example_files import YAMLS, overrides, tools_by_yaml
from tests.schemas import TOOLS, least_settings, schema


def _printed(kind: type, args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        parse_config(kind, description="What it does.", args=[*args, "--print_config"])
    assert caught.value.code == 0
    return capsys.readouterr().out


def _load(kind: type, path: Path, text: str, *args: str) -> Any:
    path.write_text(text)
    return parse_config(kind, description="", args=["--config", str(path), *args])


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_printed_loads_as_the_same_settings(tool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    kind, given = schema(tool), write_yaml(least_settings(tool))
    config = _load(kind, tmp_path / "given.yaml", given)
    text = _printed(kind, ["--config", str(tmp_path / "given.yaml")], capsys)
    assert _load(kind, tmp_path / "printed.yaml", text) == config
    assert _printed(kind, ["--config", str(tmp_path / "printed.yaml")], capsys) == text


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_examples_print_as_they_load(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    kind = schema(tools_by_yaml()[path])
    args = ["--config", str(path), *overrides("", path)]
    text = _printed(kind, args, capsys)
    config = parse_config(kind, description="", args=args)
    assert _load(kind, tmp_path / "printed.yaml", text) == config
    assert to_dict(config) == yaml.safe_load(text), "other readers of YAML see other values"


@pytest.mark.parametrize("tool", TOOLS)
def test_a_file_for_nothing_given_lacks_only_what_is_required(
    tool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    kind = schema(tool)
    text = _printed(kind, [], capsys)
    (tmp_path / "defaults.yaml").write_text(text)
    (tmp_path / "given.yaml").write_text(write_yaml(least_settings(tool)))
    both = [f"--config={tmp_path / name}.yaml" for name in ("defaults", "given")]
    assert parse_config(kind, description="", args=both) == parse_config(kind, description="", args=both[1:])


@pytest.mark.parametrize("tool", TOOLS)
def test_every_key_is_printed_and_helped_with_its_docstring(tool: str, capsys: pytest.CaptureFixture[str]):
    kind = schema(tool)
    printed = " ".join(_printed(kind, [], capsys).replace("#", " ").split())
    helped = " ".join(help_text(kind, HelpPage(description="What it does.")).split())
    for section in _sections(kind):
        for field in dataclasses.fields(section):
            about = docs(section)[field.name].rstrip(".")
            assert about and field.name in printed and " ".join(about.replace("#", " ").split()) in printed
            assert about in helped


def _sections(kind: type) -> set[type]:
    found = (entry_of(each) for each in typing.get_type_hints(kind).values())
    return {kind}.union(*(_sections(entry[0]) for entry in found if entry))


@pytest.mark.parametrize(
    "tool", ["tokenize_text", "train_speech_tokenizer", "pretrain", "plan_mixture", "build_interleaved"]
)
def test_the_example_in_comments_is_yaml_when_it_is_uncommented(tool: str, capsys: pytest.CaptureFixture[str]):
    lines = _printed(schema(tool), [], capsys).splitlines()
    start = next(index for index, line in enumerate(lines) if "<name>:" in line) - 1
    depth = lines[start].index("#")
    block = []
    for line in lines[start:]:
        if not line[depth:].startswith("#") or (block and not line[depth + 2 :].startswith(" ")):
            break
        block.append(line[depth + 2 :])
    ((_, entries),) = read_yaml("\n".join(block)).items()
    assert list(entries) == ["<name>"] and len(entries["<name>"]) > 1


def test_a_mapping_is_helped_with_a_name_in_its_keys():
    text = help_text(schema("tokenize_text"), HelpPage(description=""))
    assert "--corpora.<name>.path PATH --vocabulary VOCABULARY" in text.splitlines()[0]
    assert "  --corpora.<name>.text_key TEXT_KEY" in text
    assert "(text; default: text)" in text and "(a path; required)" in text
    with pytest.raises(ValueError, match=r"--corp\.help: corp has no keys of its own"):
        help_text(schema("tokenize_text"), HelpPage(description=""), section="corp")


def test_mistakes_are_told_instead_of_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for mistake in ("--shard_tokens=x", "--nam=x", "--run.workers=0"):
        with pytest.raises(SystemExit) as caught:
            parse_config(schema("tokenize_text"), description="", args=[mistake, "--print_config"])
        assert caught.value.code == 2 and capsys.readouterr().out == ""
