"""The JSON schema of a command takes what the command takes: every example, and no key or value that it refuses."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from megatron_speech.commands.json_schema import json_schema
from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.parsing.given import given_settings, merged
from megatron_speech.config.parsing.yaml_text import read_yaml, write_yaml
from tests.schemas import TOOLS, least_settings, schema
from tests.test_examples import ROOT, YAMLS, overrides, tools_by_yaml


@cache
def validator(tool: str) -> Draft202012Validator:
    described = json_schema(COMMANDS[tool])
    Draft202012Validator.check_schema(described)
    return Draft202012Validator(described)


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_fits_its_schema_and_with_a_wrong_key_does_not(path: Path) -> None:
    tool = tools_by_yaml()[path]
    values = given_settings(["--config", str(path), *overrides(tool, path)])
    validator(tool).validate(values)
    with pytest.raises(ValidationError, match="'no_such_key' was unexpected"):
        validator(tool).validate({**values, "no_such_key": 1})


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_command_needs_is_required_and_nothing_else(tool: str) -> None:
    checks, least = validator(tool), read_yaml(write_yaml(least_settings(tool)))
    checks.validate(least)
    for key in checks.schema["required"]:
        with pytest.raises(ValidationError, match=f"'{key}' is a required property"):
            checks.validate({name: value for name, value in least.items() if name != key})


@pytest.mark.parametrize("tool", TOOLS)
def test_every_key_has_its_docstring_and_defaults_fit(tool: str) -> None:
    properties = json_schema(COMMANDS[tool])["properties"]
    assert list(properties) == list(schema(tool).__dataclass_fields__)
    for name, described in properties.items():
        assert described["description"], name
        if "default" in described:
            Draft202012Validator(described).validate(described["default"])


@pytest.mark.parametrize(
    ("tool", "wrong", "says"),
    [
        ("pack_shards", {"algorithm": "worst_fit"}, r"'worst_fit' is not one of \['concat', 'best_fit'\]"),
        ("pack_shards", {"seq_length": "long"}, "'long' is not of type 'integer'"),
        ("pack_shards", {"cut_speech_spans": "yes"}, "'yes' is not of type 'boolean'"),
        ("build_interleaved", {"spans": {"ratios": 0.3}}, "'ratios' was unexpected"),
        ("speak_corpus", {"speeds": [0.9]}, "is too short"),
    ],
)
def test_a_wrong_value_does_not_fit(tool: str, wrong: dict, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        validator(tool).validate(merged(read_yaml(write_yaml(least_settings(tool))), wrong))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["launch"], "verb=launch reads no YAML file; name a command that takes --config"),
        (["pretrian"], "pretrian: no such command; did you mean 'pretrain'?"),
        ([], "verb is missing; it has no default, give it: --verb VERB or verb: in the YAML"),
    ],
)
def test_a_command_without_a_file_is_one_line(words: list[str], says: str) -> None:
    command = [sys.executable, "-m", "megatron_speech.commands", "schema", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {says}\n")
