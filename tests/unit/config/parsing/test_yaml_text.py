"""YAML of settings: plain data, words that mean what they look like, and faults that are told with their line."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.config.parsing.yaml_text import MAX_VALUES, read_yaml, write_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),  # the language
        ("on", "on"),
        ("yes", "yes"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("2026-11-29", "2026-11-29"),
        ("1e-4", 1e-4),
        ("1.5E3", 1500.0),
        ("1_000", 1000),
        ("-.5", -0.5),
        ("-7", -7),
        ("True", True),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_words_mean_what_they_look_like(text: str, value: Any):
    found = read_yaml(text)
    assert found == value and type(found) is type(value)


_NAMES = "abcdefghi"
_BOMB = "a: &a [x, x, x, x]\n" + "\n".join(
    f"{name}: &{name} [{f'*{before}, ' * 9}]" for before, name in pairwise(_NAMES)
)
"""Nine lines that mean 172 million values."""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\nb: 2\na: 3", r":3: key a already stands in line 1"),
        ("a: !!python/object/apply:os.system [ls]", r":1: holds the tag tag:yaml.org,2002:python/object/apply"),
        ("a:\n- !ours b", r":2: holds the tag !ours; leave it out"),
        ("a: ! b", r":1: holds the tag !; leave it out"),
        ("!!bool x", r":1: holds the tag tag:yaml.org,2002:bool; leave it out"),
        ("a: !!timestamp x", r":1: holds the tag tag:yaml.org,2002:timestamp"),
        ("!!int '-': 1", r":1: holds the tag tag:yaml.org,2002:int"),
        ("!!map {a: 1}", r":1: holds the tag tag:yaml.org,2002:map"),
        ("a: &x !!seq [1]", r":1: holds the tag tag:yaml.org,2002:seq"),
        ("a:\n\tb: 1", r":2: not YAML \(found character '\\t'"),
        ("a: *b", r":1: not YAML \(found undefined alias"),
        ("? [a]\n: b", r":1: not YAML \(found unhashable key\)"),
        ("a: 1\n---\nb: 2", r":2: not YAML \(but found another document\)"),
        ("a: b\0", r": not YAML \(special characters are not allowed\)"),
        ("&a [*a]", r": nested too deeply, or a part refers to itself"),
        ("[" * 5000, r": nested too deeply"),
        ("9" * 5000, r"digits"),
        (_BOMB, rf": holds more than {MAX_VALUES:,} values, aliases \(\*\) included"),
    ],
)
def test_faults_are_told_with_their_line(text: str, fault: str):
    with pytest.raises(ValueError, match=fault):
        read_yaml(text)


@given(
    st.sampled_from(
        [
            "bool",
            "int",
            "float",
            "null",
            "str",
            "timestamp",
            "binary",
            "merge",
            "value",
            "set",
            "omap",
            "pairs",
            "seq",
            "map",
        ]
    ),
    st.sampled_from(["", "x", '""', "'-'", "[]", "[1]", "{}", "{a: 1}", "0b", "0x", "=", "<<", "1:x", "\n- 1"]),
)
def test_no_tag_is_read_whatever_stands_behind_it(kind: str, value: str):
    for text in (f"!!{kind} {value}", f"a: !!{kind} {value}", f"!<tag:yaml.org,2002:{kind}> {value}"):
        with pytest.raises(ValueError, match=r"^:1: (holds the tag|not YAML)"):
            read_yaml(text)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab1. ~:#'\"\n", max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_PLAIN)
def test_what_is_written_is_read_as_the_same(value: Any):
    assert read_yaml(write_yaml(value)) == value
    flow = write_yaml(value, flow=True)
    assert "\n" not in flow and read_yaml(flow) == value


@given(st.text("0123456789eE+-._:xnoyasfNOYtrue~", max_size=6))
def test_text_that_looks_like_a_value_stays_text_for_every_reader(text: str):
    written = write_yaml({"key": text})
    assert read_yaml(written) == yaml.safe_load(written) == {"key": text}
