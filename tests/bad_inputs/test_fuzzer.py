"""Settings drawn at random, right and wrong, by file and by word: status 0 or 2, one line, and never a traceback.

FUZZER_EXAMPLES=2000 tries more than the hundred of every day.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megatron_speech.config.parsing.build import alternatives
from megatron_speech.config.parsing.parse import parse_config
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.parsing.yaml_text import write_yaml
from tests.bad_inputs.rows import Row, run_row, said
from tests.schemas import TOOLS, least_settings, schema

EXAMPLES = settings(
    max_examples=int(os.environ.get("FUZZER_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# These fetch from the network before they can find fault with anything.
_STARTED = [tool for tool in TOOLS if tool not in ("fetch_assets", "sample_data")]
_LINES = st.text(st.characters(codec="utf-8"), max_size=40)
_NUMBERS = (
    st.integers(-3, 300)
    | st.integers()
    | st.floats()
    | st.sampled_from([0, 1, 2**31, 2**63, 10**20, 10**400, 1e300, -1e-300])
)
_SCALARS = (
    st.none() | st.booleans() | _NUMBERS | _LINES | st.sampled_from(["", ".", "nowhere", "this", "os.system", "a/b"])
)
_NAMES = st.sampled_from(["a", "path", "class_path", "", "1"])
_ANY = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3), max_leaves=6
)


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values that a type takes more often than not."""
    strategies = []
    for each in alternatives(kind):
        origin, args = typing.get_origin(each), typing.get_args(each)
        if dataclasses.is_dataclass(each):
            strategies.append(sections_of(each))
        elif origin is typing.Literal:
            strategies.append(st.sampled_from(args))
        elif origin is dict:
            strategies.append(st.dictionaries(st.sampled_from(["a", "b", "x y", "é"]), values_of(args[1]), max_size=2))
        elif origin in (list, tuple):
            strategies.append(st.lists(values_of(args[0]), max_size=3))
        else:
            own = {int: st.integers(0, 64), float: st.floats(0, 2), bool: st.booleans()}
            strategies.append(own.get(each, st.sampled_from(["nowhere", "text", "x/y", "none.jsonl"])))
    return st.one_of(*strategies) | _ANY if strategies else _ANY


def sections_of(section: type) -> st.SearchStrategy[dict[str, Any]]:
    """Some keys of a dataclass, and now and then one that it does not have."""
    hints = typing.get_type_hints(section)
    known = {name: st.deferred(lambda kind=hints[name]: values_of(kind)) for name in hints}
    return st.lists(st.sampled_from(list(known)), max_size=4, unique=True).flatmap(
        lambda names: st.fixed_dictionaries(
            {name: known[name] for name in names}, optional={"no_such_key": st.just(1)} if len(names) == 3 else {}
        )
    )


@st.composite
def command_lines(draw: st.DrawFn, tools: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """A tool, texts of YAML files (0.yaml, 1.yaml) and words in any order."""
    tool = draw(st.sampled_from(tools))
    words, files = [], []
    for part in draw(st.lists(st.sampled_from(["least", "file", "text", "word", "dots", "noise"]), max_size=5)):
        if part in ("least", "file", "text"):
            values = least_settings(tool) if part == "least" else draw(sections_of(schema(tool)))
            text = write_yaml(values)
            if part == "text":
                place = draw(st.integers(0, len(text)))
                text = text[:place] + draw(_LINES) + text[place + draw(st.integers(0, 5)) :]
            words += ["--config", f"{len(files)}.yaml"]
            files.append(text)
        elif part == "noise":
            words += [draw(_LINES)]
        else:
            for key, value in draw(sections_of(schema(tool))).items():
                if part == "dots" and isinstance(value, dict):
                    words += [f"--{key}.{name}={_word(entry)}" for name, entry in value.items()]
                else:
                    words += [f"--{key}={_word(value)}"]
    return tool, files, [word.replace("\0", "") for word in words]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else write_yaml(value, flow=True)


@EXAMPLES
@given(command_lines(TOOLS))
def test_no_command_line_ends_in_a_traceback(tmp_path: Path, drawn: tuple[str, list[str], list[str]]) -> None:
    tool, files, words = drawn
    told = io.StringIO()
    with contextlib.chdir(tmp_path), contextlib.redirect_stderr(told):
        for number, text in enumerate(files):
            Path(f"{number}.yaml").write_text(text, encoding="utf-8", newline="")
        try:
            config = parse_config(schema(tool), description="", args=words)
        except SystemExit as left:
            assert left.code == 0 or (left.code == 2 and told.getvalue().startswith("error: "))
            assert told.getvalue().count("\n") <= 1
            return
        Path("again.yaml").write_text(write_yaml(to_dict(config)), encoding="utf-8")
        assert parse_config(schema(tool), description="", args=["--config", "again.yaml"]) == config


@EXAMPLES
@given(command_lines(_STARTED).filter(lambda drawn: len(drawn[2]) > 1))
def test_no_stage_begins_with_a_traceback(empty_folder: Path, drawn: tuple[str, list[str], list[str]]) -> None:
    """In an empty folder, where no input exists."""
    tool, files, words = drawn
    ended = run_row(
        Row(tool=tool, words=words, says="", files={f"{number}.yaml": text for number, text in enumerate(files)}),
        empty_folder,
    )
    assert ended.status in (0, 2) and "Traceback" not in ended.stderr, ended.stderr
    if ended.status == 2:
        assert said(ended.stderr)[-1].startswith("error: ")


@pytest.fixture
def empty_folder(tmp_path: Path) -> Path:
    from tests.bad_inputs.world import import_what_tools_import

    import_what_tools_import()
    return tmp_path
