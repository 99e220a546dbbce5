"""Blocks that must not be trained on, each rule broken alone: found, with the member and the byte of it."""

from collections.abc import Callable

import numpy as np
import pytest
import xxhash

from megatron_speech.data.shards.contents import examine
from megatron_speech.vocabulary import Vocabulary
from tests.toys import VOCABULARY

SEQ = 6
Members = dict[str, bytes]


def _i32(*numbers: int) -> bytes:
    return np.array(numbers, "<i4").tobytes()


def documents() -> Members:
    """Documents of 3, 1 and 2 tokens, two of them speech."""
    return {
        "tokens.i32": _i32(5, 6, 7, 104, 8, 153),
        "lens.i32": _i32(3, 1, 2),
        "target.i32": _i32(2, 0, 1),
        "meta.jsonl": b'{"key":"a","meta":{}}\n{"key":"b","meta":{"x":1}}\n{"key":"c","meta":{}}\n',
    }


def rows() -> Members:
    """Two rows of SEQ + 1 tokens: documents 4 and 9, then 9 and padding behind 5 tokens; speech is 104 and more."""
    tokens = np.array([[1, 2, 0, 104, 105, 106, 107], [107, 3, 4, 5, 0, 0, 0]], "<i4")
    return {
        "tokens.i32": tokens.tobytes(),
        "row.u64": np.array([xxhash.xxh3_64_intdigest(row.tobytes()) for row in tokens], "<u8").tobytes(),
        "used.i32": _i32(7, 5),
        "cu.i32": _i32(0, 3, 6, 0, 5, 6),
        "cuptr.i32": _i32(0, 3, 6),
        "document.i64": np.array([4, 9, 9, -1], "<i8").tobytes(),
        "context.i32": _i32(0, 2, 3, 7),
        "contextptr.i32": _i32(0, 2, 2),
    }


def test_counts_are_those_of_the_ids():
    found = examine("documents", documents(), vocabulary=VOCABULARY)
    assert (found.items, found.text_tokens, found.speech_tokens, found.faults) == (3, 4, 2, [])
    found = examine("rows", rows(), vocabulary=VOCABULARY, seq_length=SEQ)
    # Labels: a row's first token is none, padding neither.
    assert (found.items, found.text_tokens, found.speech_tokens, found.faults) == (2, 6, 4, [])


def test_bare_codes_have_no_end_of_document():
    members = documents() | {"tokens.i32": _i32(0, 1, 2, 3, 0, 5)}
    assert examine("documents", members, vocabulary=Vocabulary.of_codes(6, "x")).faults == []
    (fault,) = examine("documents", members, vocabulary=VOCABULARY).faults
    assert (fault.member, fault.byte) == ("tokens.i32", 0) and "end-of-document" in fault.what


def _number(name: str, index: int, value: int, dtype: str = "<i4") -> Callable[[Members], Members]:
    def changed(members: Members) -> Members:
        numbers = np.frombuffer(members[name], dtype).copy()
        numbers[index] = value
        return members | {name: numbers.tobytes()}

    return changed


def _cut(name: str, size: int) -> Callable[[Members], Members]:
    return lambda members: members | {name: members[name][:size]}


@pytest.mark.parametrize(
    ("change", "member", "byte", "rule"),
    [
        (_number("tokens.i32", 4, 154), "tokens.i32", 16, "document 'c': id 154 leaves the vocabulary of 154"),
        (_number("tokens.i32", 3, -2), "tokens.i32", 12, "document 'b': id -2 leaves"),
        (_number("tokens.i32", 1, 0), "tokens.i32", 4, "document 'a' holds the end-of-document id 0"),
        (_number("lens.i32", 1, 0), "lens.i32", 4, "document 'b' is empty"),
        (_number("lens.i32", 2, 3), "lens.i32", 0, "lengths add up to 7 where there are 6 tokens"),
        (_number("lens.i32", 0, -3), "lens.i32", 0, "is empty"),
        (_number("target.i32", 0, 3), "target.i32", 0, "document 'a': target_start=3 must lie in its 3"),
        (_number("target.i32", 2, -1), "target.i32", 8, "document 'c': target_start=-1"),
        (_cut("tokens.i32", 20), "lens.i32", 0, "lengths add up to 6 where there are 5"),
        (_cut("tokens.i32", 22), "tokens.i32", 20, "22 bytes are no multiple of 4"),
        (_cut("lens.i32", 8), "lens.i32", 0, "2 lengths, 3 targets, 3 lines"),
        (_cut("meta.jsonl", 40), "meta.jsonl", 22, "line 1 is no object"),
        (_cut("meta.jsonl", 22), "lens.i32", 0, "3 lengths, 3 targets, 1 lines"),
        (lambda members: members | {"meta.jsonl": b"[]\n" * 3}, "meta.jsonl", 0, "line 0 is no object"),
    ],
)
def test_documents_that_cannot_be_trained_on(change: Callable, member: str, byte: int, rule: str):
    found = examine("documents", change(documents()), vocabulary=VOCABULARY)
    assert [(fault.member, fault.byte) for fault in found.faults if rule in fault.what] == [(member, byte)], found


@pytest.mark.parametrize(
    ("change", "member", "byte", "rule"),
    [
        (_number("tokens.i32", 8, 154), "tokens.i32", 32, "row 1: id 154 leaves"),
        (_number("tokens.i32", 8, -1), "row.u64", 8, "row 1: the checksum of its tokens differs"),
        (_number("tokens.i32", 13, 9), "tokens.i32", 52, "row 1: id 9 in its padding"),
        (_number("used.i32", 1, 0), "used.i32", 4, "row 1: 0 tokens used of 7"),
        (_number("used.i32", 0, 8), "used.i32", 0, "row 0: 8 tokens used of 7"),
        (_number("used.i32", 1, 3), "tokens.i32", 40, "row 1: id 5 in its padding"),
        (_number("cu.i32", 0, 1), "cu.i32", 0, "row 0: its first document must start at 0"),
        (_number("cu.i32", 3, 1), "cu.i32", 12, "row 1: its first document must start at 0"),
        (_number("cu.i32", 5, 5), "cu.i32", 20, "row 1: its documents must end at 6"),
        (_number("cu.i32", 5, 5), "cu.i32", 20, "row 1: starts must increase, 5 follows 5"),
        (_number("cu.i32", 1, 6), "cu.i32", 8, "row 0: starts must increase, 6 follows 6"),
        (_number("cuptr.i32", 1, 1), "cuptr.i32", 4, "row 0: entries 0 to 1"),
        (_number("cuptr.i32", 2, 5), "cuptr.i32", 0, "3 pointers must be 3, from 0 to 6"),
        (_cut("cuptr.i32", 8), "cuptr.i32", 0, "2 pointers must be 3"),
        (_number("document.i64", 1, -2, "<i8"), "document.i64", 8, "document number -2"),
        (_cut("document.i64", 24), "document.i64", 0, "3 documents where cu.i32 has 4 starts"),
        (_number("context.i32", 1, 8), "context.i32", 0, "span 0 to 8 leaves its row of 7"),
        (_number("context.i32", 2, 7), "context.i32", 8, "span 7 to 7"),
        (_cut("context.i32", 12), "context.i32", 0, "3 numbers are no pairs"),
        (_number("contextptr.i32", 1, 3), "contextptr.i32", 8, "row 1: entries 3 to 2"),
        (_cut("tokens.i32", 52), "tokens.i32", 0, "13 tokens and 2 lengths where 2 rows of 7"),
        (_cut("used.i32", 4), "tokens.i32", 0, "14 tokens and 1 lengths where 2 rows of 7"),
    ],
)
def test_rows_that_cannot_be_trained_on(change: Callable, member: str, byte: int, rule: str):
    found = examine("rows", change(rows()), vocabulary=VOCABULARY, seq_length=SEQ)
    assert [(fault.member, fault.byte) for fault in found.faults if rule in fault.what] == [(member, byte)], found
