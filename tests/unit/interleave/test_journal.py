"""The journal of spoken spans: whatever a kill leaves of it, what is whole comes back and nothing else does."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from megatron_speech.interleave.journal import Journal

SETTINGS = {"model": "m", "seed": 0}
SPANS = [("a#0:3", "the river", np.array([1, 2, 2])), ("a#0:9", "to the sea", None), ("b#0:0", "mills", np.array([7]))]


def write(path: Path) -> bytes:
    with Journal(path, synthesis=SETTINGS) as journal:
        for span in SPANS:
            journal.append(*span)
    return path.read_bytes()


def found(journal: Journal) -> list[str]:
    """Keys of the spans that the journal gives back, as they were."""
    keys = []
    for key, text, codes in SPANS:
        spoken = journal.take(key, text)
        if spoken is None:
            continue
        keys.append(key)
        assert (spoken.codes is None) == (codes is None)
        assert codes is None or spoken.codes.tolist() == codes.tolist()
    return keys


def test_lines_are_as_they_ever_were(tmp_path: Path):
    """A journal of spans outlives the version that wrote it."""
    with Journal(tmp_path / "journal", synthesis=SETTINGS) as journal:
        journal.append(*SPANS[0], work={"steps": 3})
        journal.append(*SPANS[1])
    assert (tmp_path / "journal").read_text().splitlines() == [
        '68b86918f0f790f5 {"synthesis":{"model":"m","seed":0}}',
        'df31e669d5040208 {"key":"a#0:3","text":"bff1c93141fc3d3290ad8f5fc469f28e","codes":[1,2,2],"work":{"steps":3}}',
        'd2e4779f975d50fd {"key":"a#0:9","text":"e89e97de695fa09b6ab3518026632d08","codes":null}',
    ]
    with Journal(tmp_path / "journal", synthesis=SETTINGS) as journal:
        assert found(journal) == ["a#0:3", "a#0:9"] and journal.work == {"steps": 3}


def test_what_was_kept_comes_back_once(tmp_path: Path):
    write(tmp_path / "journal")
    with Journal(tmp_path / "journal", synthesis=SETTINGS) as journal:
        assert journal.take("a#0:3", "another text") is None
        assert found(journal) == [key for key, *_ in SPANS] and found(journal) == []


def test_a_journal_cut_at_any_byte_is_whole_again(tmp_path: Path, caplog):
    path = tmp_path / "journal"
    whole = write(path)
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends[1:])
        caplog.clear()
        with Journal(path, synthesis=SETTINGS) as journal:
            assert len(found(journal)) == kept
            for span in SPANS[kept:]:
                journal.append(*span)
        torn = cut not in (0, *ends)
        assert [record.message.split(";")[0] for record in caplog.records if record.levelno >= logging.WARNING] == (
            [f"{path}, byte {max([0, *(end for end in ends if end < cut)])}: cut short or damaged"] if torn else []
        )
        assert path.read_bytes() == whole


def test_a_damaged_record_is_named_and_the_others_are_kept(tmp_path: Path, caplog):
    path = tmp_path / "journal"
    whole = bytearray(write(path))
    at = whole.index(b"a#0:9")
    whole[at] ^= 1
    path.write_bytes(whole)
    with Journal(path, synthesis=SETTINGS) as journal:
        assert found(journal) == ["a#0:3", "b#0:0"]
    assert f"byte {whole.rindex(bytes([10]), 0, at) + 1}" in caplog.text
    path.write_bytes(b"\0" + whole[1:])
    with pytest.raises(ValueError, match="its first line is damaged"):
        Journal(path, synthesis=SETTINGS)


def test_a_journal_of_other_settings_is_refused(tmp_path: Path):
    before = write(tmp_path / "journal")
    with pytest.raises(ValueError, match=r"other settings \(synthesis.seed: 0 -> 1\); restore them"):
        Journal(tmp_path / "journal", synthesis={**SETTINGS, "seed": 1})
    assert (tmp_path / "journal").read_bytes() == before
