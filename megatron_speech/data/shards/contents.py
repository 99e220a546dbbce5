"""Checks and counts the content of a block: the same rule for writing, indexing and verifying shards.

A block that passes can be trained on: its ids lie in the vocabulary, lengths add up, boundaries increase. Cost: a few
passes over the ids when a block is written, about 5 ms for 4 MiB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import orjson
import xxhash
from numpy.typing import NDArray

from megatron_speech.data.shards.sidecar import Kind
from megatron_speech.vocabulary import Vocabulary

Payloads = Mapping[str, bytes | memoryview]

MEMBERS: dict[Kind, tuple[str, ...]] = {
    "documents": ("lens.i32", "meta.jsonl", "target.i32", "tokens.i32"),
    "rows": (
        "context.i32",
        "contextptr.i32",
        "cu.i32",
        "cuptr.i32",
        "document.i64",
        "row.u64",
        "tokens.i32",
        "used.i32",
    ),
}
"""Members of a block by kind, in file order; `data.shards.documents` and `data.shards.rows` describe them."""


class Fault(NamedTuple):
    """One reason why a block cannot be trained on."""

    member: str
    """Member that shows the fault."""
    byte: int
    """First byte of the fault, from the start of the member's payload."""
    what: str
    """Value, rule and remedy, for an error message."""


@dataclass
class Examination:
    """Counts and faults of a block; the counts are valid only if there are no faults."""

    items: int = 0
    text_tokens: int = 0
    speech_tokens: int = 0
    faults: list[Fault] = field(default_factory=list)

    def numbers(self, members: Payloads, name: str) -> NDArray[Any]:
        """A member's payload as little-endian numbers; the end of its name gives the type."""
        payload, dtype = members[name], np.dtype({"i32": "<i4", "i64": "<i8", "u64": "<u8"}[name[-3:]])
        count, rest = divmod(len(payload), dtype.itemsize)
        if rest:
            self.fault(name, f"{len(payload)} bytes are no multiple of {dtype.itemsize}", byte=count * dtype.itemsize)
        return np.frombuffer(payload, dtype, count)

    def expect(
        self,
        name: str,
        holds: NDArray[np.bool_],
        rule: Callable[[int], str],
        *,
        places: NDArray[Any] | None = None,
        width: int = 4,
    ) -> bool:
        """Add a fault unless all of `holds` is true; returns whether it is.

        Args:
            name: member that `holds` is about.
            holds: one value per number of the member, or per entry of `places`.
            rule: describes the fault at an index of `holds`.
            places: indices of the checked numbers within the member; None for all numbers.
            width: bytes per number.
        """
        if holds.all():
            return True
        first = int(np.argmin(holds))
        count = holds.size - int(np.count_nonzero(holds))
        more = f" (and {count - 1:,} more)" if count > 1 else ""
        self.fault(name, rule(first) + more, byte=width * int(first if places is None else places[first]))
        return False

    def fault(self, name: str, what: str, *, byte: int = 0) -> None:
        """Add a fault of member `name`."""
        self.faults.append(Fault(name, byte, what))


def examine(kind: Kind, members: Payloads, *, vocabulary: Vocabulary, seq_length: int = 0) -> Examination:
    """Check and count the members of one block, which must be exactly those in `MEMBERS`."""
    assert set(members) == set(MEMBERS[kind]), f"{kind}: {sorted(members)}"
    found = Examination()
    if kind == "documents":
        _documents(found, members, vocabulary)
    else:
        _rows(found, members, vocabulary, seq_length)
    return found


def _documents(found: Examination, members: Payloads, vocabulary: Vocabulary) -> None:
    # Lengths come first: the other checks divide the tokens by them.
    tokens, lens, target = (found.numbers(members, name) for name in ("tokens.i32", "lens.i32", "target.i32"))
    keys = _keys(found, bytes(members["meta.jsonl"]))
    found.items = len(lens)
    if not len(lens) == len(target) == len(keys):
        found.fault(
            "lens.i32", f"{len(lens)} lengths, {len(target)} targets, {len(keys)} lines: must be equal in number"
        )
        return
    ends = np.cumsum(lens, dtype=np.int64)
    filled = found.expect("lens.i32", lens > 0, lambda at: f"document {keys[at]!r} is empty; drop it before writing")
    if not filled or ends[-1] != len(tokens):
        if filled:
            found.fault("lens.i32", f"lengths add up to {ends[-1]} where there are {len(tokens)} tokens")
        return
    found.expect(
        "target.i32",
        (target >= 0) & (target < lens),
        lambda at: f"document {keys[at]!r}: target_start={target[at]} must lie in its {lens[at]} tokens",
    )

    def name(token: int) -> str:
        return f"document {keys[int(np.searchsorted(ends, token, side='right'))]!r}"

    _ids(found, tokens, vocabulary, name)
    if vocabulary.num_text_ids:
        eod = vocabulary.end_of_document
        found.expect(
            "tokens.i32",
            tokens != eod,
            lambda at: f"{name(at)} holds the end-of-document id {eod}, which packing appends itself; remove it",
        )
    found.speech_tokens = int(np.count_nonzero(vocabulary.speech_mask(tokens)))
    found.text_tokens = len(tokens) - found.speech_tokens


def _keys(found: Examination, lines: bytes) -> list[str]:
    """Key of each document. Metadata is parsed as JSON only, never as code."""
    keys: list[str] = []
    byte = 0
    for line in lines.splitlines(keepends=True):
        try:
            record = orjson.loads(line)
            well_formed = isinstance(record["key"], str) and isinstance(record["meta"], dict) and line.endswith(b"\n")
        except (orjson.JSONDecodeError, KeyError, TypeError):
            well_formed = False
        if not well_formed:
            found.fault("meta.jsonl", f"line {len(keys)} is no object with a key and meta", byte=byte)
        keys.append(record["key"] if well_formed else "?")
        byte += len(line)
    return keys


def _ids(found: Examination, tokens: NDArray[Any], vocabulary: Vocabulary, name: Callable[[int], str]) -> None:
    found.expect(
        "tokens.i32",
        tokens.view("<u4") < vocabulary.size,  # negative ids are large as unsigned numbers
        lambda at: f"{name(at)}: id {tokens[at]} leaves the vocabulary of {vocabulary.size}; use its own tokenizers",
    )


def _rows(found: Examination, members: Payloads, vocabulary: Vocabulary, seq_length: int) -> None:
    # The number of rows comes first: the other checks reshape the tokens by it.
    flat, checksums, used = (found.numbers(members, name) for name in ("tokens.i32", "row.u64", "used.i32"))
    width = seq_length + 1
    found.items = num_rows = len(checksums)
    if not len(flat) == num_rows * width > 0 or len(used) != num_rows:
        found.fault(
            "tokens.i32",
            f"{len(flat)} tokens and {len(used)} lengths where {num_rows} rows of {width} tokens are expected",
        )
        return
    tokens = flat.reshape(num_rows, width)
    actual = np.array([xxhash.xxh3_64_intdigest(row.data) for row in tokens], np.uint64)
    found.expect("row.u64", actual == checksums, lambda row: f"row {row}: the checksum of its tokens differs", width=8)
    _ids(found, flat, vocabulary, lambda at: f"row {at // width}")
    filled = found.expect(
        "used.i32", (used > 0) & (used <= width), lambda row: f"row {row}: {used[row]} tokens used of {width}"
    )
    if filled:
        padding = np.arange(width) >= used[:, None]
        found.expect(
            "tokens.i32",
            (~padding | (tokens == vocabulary.end_of_document)).reshape(-1),
            lambda at: f"row {at // width}: id {flat[at]} in its padding, which repeats the end-of-document id",
        )
    _boundaries(found, members, num_rows, seq_length)
    _contexts(found, members, num_rows, width)
    # Count labels: a token that ends one row and begins the next then counts once. Padding is never speech.
    found.speech_tokens = int(np.count_nonzero(vocabulary.speech_mask(tokens[:, 1:])))
    found.text_tokens = int(used.astype(np.int64).sum()) - num_rows - found.speech_tokens


def _boundaries(found: Examination, members: Payloads, num_rows: int, seq_length: int) -> None:
    cu, ptr, document = (found.numbers(members, name) for name in ("cu.i32", "cuptr.i32", "document.i64"))
    if not _pointers(found, "cuptr.i32", ptr, num_rows, len(cu), least=2):
        return
    if len(document) != len(cu) - num_rows:
        found.fault("document.i64", f"{len(document)} documents where cu.i32 has {len(cu) - num_rows} starts")
    row = np.repeat(np.arange(num_rows), np.diff(ptr))
    first, last = ptr[:-1], ptr[1:] - 1
    found.expect("cu.i32", cu[first] == 0, lambda at: f"row {at}: its first document must start at 0", places=first)
    found.expect(
        "cu.i32", cu[last] == seq_length, lambda at: f"row {at}: its documents must end at {seq_length}", places=last
    )
    found.expect(
        "cu.i32",
        (np.diff(cu) > 0) | (np.diff(row) > 0),
        lambda at: f"row {row[at]}: starts must increase, {cu[at + 1]} follows {cu[at]}",
        places=np.arange(1, len(cu)),
    )
    found.expect(
        "document.i64", document >= -1, lambda at: f"document number {document[at]} must be at least -1", width=8
    )


def _contexts(found: Examination, members: Payloads, num_rows: int, width: int) -> None:
    spans, ptr = (found.numbers(members, name) for name in ("context.i32", "contextptr.i32"))
    if len(spans) % 2:
        found.fault("context.i32", f"{len(spans)} numbers are no pairs")
    elif _pointers(found, "contextptr.i32", ptr, num_rows, len(spans) // 2, least=0):
        start, end = spans.reshape(-1, 2).T
        holds = np.repeat((start >= 0) & (start < end) & (end <= width), 2)
        found.expect(
            "context.i32", holds, lambda at: f"span {start[at // 2]} to {end[at // 2]} leaves its row of {width}"
        )


def _pointers(found: Examination, name: str, ptr: NDArray[Any], num_rows: int, total: int, *, least: int) -> bool:
    """Check that `ptr` has an entry per row and one more, increases by at least `least`, and ends at `total`."""
    if len(ptr) != num_rows + 1 or ptr[0] != 0 or ptr[-1] != total:
        found.fault(name, f"{len(ptr)} pointers must be {num_rows + 1}, from 0 to {total}")
        return False
    return found.expect(
        name,
        np.diff(ptr) >= least,
        lambda at: f"row {at}: entries {ptr[at]} to {ptr[at + 1]}",
        places=np.arange(1, len(ptr)),
    )
