"""Lines as corpora have them: odd but usable ones are read, every other is one named bad line and never a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.corpus.interface import BadLine
from megatron_speech.corpus.records import RecordLayout, TextDocument, read_records

LAYOUT = RecordLayout(metadata_keys=["url"])


def _read(folder: Path, *lines: bytes) -> list[TextDocument | BadLine]:
    path = folder / "c.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return [found for _, found in read_records(path, LAYOUT)]


@pytest.mark.parametrize(
    ("line", "id_", "text"),
    [
        (b'\xef\xbb\xbf{"id": "a", "text": "after a byte order mark"}', "a", "after a byte order mark"),
        (b'{"id": 7, "text": "x"}', "7", "x"),
        (b'{"id": -1, "text": "x"}', "-1", "x"),
        (b'{"id": 18446744073709551615, "text": "x"}', "18446744073709551615", "x"),
        (b'{"id": "a\\u0000b", "text": "nul \\u0000 inside"}', "a\0b", "nul \0 inside"),
        (
            b'{"id": "a", "text": "says \\"text\\" and \\"id\\" twice: \\"text\\""}',
            "a",
            'says "text" and "id" twice: "text"',
        ),
        (b'{"id": "a", "text": "x", "metadata": {"text": "another", "id": 3}}', "a", "x"),
        (b'{"id": "a", "text": "\\ud83d\\ude42"}\r', "a", "\U0001f642"),
        (b'{"id": "a", "text": "x", "metadata": {"n": 1e30}, "other": 99999999999999999999999}', "a", "x"),
    ],
)
def test_an_odd_line_is_read(tmp_path: Path, line: bytes, id_: str, text: str) -> None:
    (found,) = _read(tmp_path, line)
    assert isinstance(found, TextDocument), found
    assert (found.id, found.text) == (id_, text)


DEEP = b"[" * 300 + b"]" * 300


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "a", "text": "caf\xe9"}', "not UTF-8"),
        ('{"id": "a", "text": "x"}'.encode("utf-16"), "not UTF-8"),
        (b'{"id": "a", "text": "\\ud800"}', "not JSON"),
        (b'{"id": "a", "text": "x", "n": NaN}', "not JSON"),
        (b'{"id": "a", "text": "x", "n": 1e999}', "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b'{"id": "a", "text": "x", "metadata": {"deep": ' + DEEP + b"}}", "nested"),
        (b'{"id": "a", "text": "one", "text": "two"}', "repeated key"),
        (b'{"id": "a", "id": "b", "text": "one"}', "repeated key"),
        (b'{"id": "a", "text": "x", "url": 1, "url": 2}', "repeated key"),
        (b'{"id": "a", "text": "x", "metadata": {}, "metadata": {"a": 1}}', "repeated key"),
        (b'{"id": 123456789012345678901234567890, "text": "x"}', "number"),
        (b'{"id": "a", "text": "x", "url": [18446744073709551616]}', "number"),
        (b'{"id": "a", "text": "x", "metadata": {"n": {"m": -' + b"9" * 300 + b"}}}", "number"),
        (b'{"id": 1e30, "text": "x"}', "no id"),
        (b'{"id": 1.0, "text": "x"}', "no id"),
        (b'{"id": true, "text": "x"}', "no id"),
        (b'{"id": null, "text": "x"}', "no id"),
        (b'{"id": ["a"], "text": "x"}', "no id"),
        (b'{"id": "a", "text": ""}', "no text"),
        (b'{"id": "a", "text": 5}', "no text"),
        (b'{"id": "a", "text": ["x"]}', "no text"),
        (b"null", "no object"),
        (b"", "not JSON"),
        (b"\0\0\0\0", "not JSON"),
    ],
)
def test_a_line_without_one_meaning_is_named(tmp_path: Path, line: bytes, reason: str) -> None:
    *_, found = _read(tmp_path, b'{"id": "before", "text": "x"}', line.replace(b"\n", b""))
    assert isinstance(found, BadLine)
    assert found.reason == reason
    assert found.message.startswith(f"{tmp_path / 'c.jsonl'}:2: ") and "\n" not in found.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
KEYS = st.sampled_from(["id", "text", "metadata", "url", "other"])


@settings(max_examples=200, deadline=None)
@given(
    record=st.dictionaries(KEYS, JSON, max_size=5) | JSON,
    cut=st.none() | st.integers(0, 60),
    junk=st.binary(max_size=4),
)
def test_no_line_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, record: Any, cut: int, junk: bytes) -> None:
    line = json.dumps(record).encode()[:cut] + junk.replace(b"\n", b"")
    for found in _read(tmp_path_factory.mktemp("line"), line):
        assert isinstance(found, BadLine) or (found.id.strip() and found.text.strip())
