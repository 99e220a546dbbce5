"""Packing against a plain reference: no token lost, none twice, boundaries right, nothing cut by best-fit that fits."""

from dataclasses import replace
from pathlib import Path
from typing import Literal
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from megatron_speech.config.inspection.shards import InspectShardsConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.pack import pack_documents
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.data.shards.inspect import inspect_shards
from megatron_speech.data.shards.rows import RowFolder
from megatron_speech.data.shards.verify import verify_folder
from megatron_speech.vocabulary import Vocabulary
from tests.toys import VOCABULARY, documents_of, packed_folder

EOD = VOCABULARY.end_of_document
SEQ = 16
LENGTHS = st.lists(st.integers(1, SEQ), min_size=1, max_size=80)


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=60), seed=st.integers(0, 3), block=st.integers(1, 5))
def test_concat_is_the_stream_of_all_documents(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int, block: int
):
    with mock.patch("megatron_speech.data.packing.layout.BLOCK_TOKENS", block * (SEQ + 1)):
        folder = packed_folder(tmp_path_factory.mktemp("p") / "rows", lengths, seq_length=SEQ, seed=seed)
    rows, documents = RowFolder(folder), documents_of(lengths, seed=seed)
    read = [rows.row(index) for index in range(len(rows))]
    stream = np.concatenate([read[0].tokens[:1], *(row.tokens[1:] for row in read)])
    inputs = np.concatenate([row.tokens[:-1] for row in read])
    assert stream[:-1].tolist() == inputs.tolist()  # neighbours share one token
    total = sum(lengths) + len(lengths)
    assert set(stream[total:]) <= {EOD}
    assert len(rows) == max(1, -(-(total - 1) // SEQ))
    assert sorted(_cut(stream[:total])) == sorted(document.tokens.tolist() for document in documents)
    starts = np.flatnonzero(np.concatenate([[True], stream[: total - 1] == EOD]))
    _check_boundaries(rows, starts=sorted({*starts.tolist(), total}))
    assert rows.index.facts.padding == len(rows) * SEQ + 1 - total
    assert rows.index.text_tokens + rows.index.speech_tokens == total - 1


@settings(max_examples=40, deadline=None)
@given(lengths=LENGTHS, seed=st.integers(0, 3))
@example(lengths=[1, 2, 2, 2, 2, 5, 11, 1, 14], seed=0)  # padding as long as what lies between two documents
def test_best_fit_keeps_every_document_whole(tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int):
    small = {"BLOCK_TOKENS": 3 * (SEQ + 1), "WINDOW_DOCUMENTS": 20}
    with mock.patch.multiple("megatron_speech.data.packing.layout", **small):
        folder = packed_folder(
            tmp_path_factory.mktemp("p") / "rows", lengths, seq_length=SEQ, seed=seed, algorithm="best_fit"
        )
    rows, documents = RowFolder(folder), documents_of(lengths, seed=seed)
    found: dict[int, list[int]] = {}
    for index in range(len(rows)):
        row, numbers = rows.row(index), rows.documents(index)
        ends = [*row.cu_seqlens[1:-1].tolist(), SEQ + 1]
        for number, start, end in zip(numbers.tolist(), row.cu_seqlens[:-1].tolist(), ends, strict=True):
            part = row.tokens[start:end].tolist()
            if number < 0:
                assert set(part) == {EOD} and end == SEQ + 1
                continue
            assert number not in found
            found[number] = _cut(np.array(part))[0]
        assert row.cu_seqlens[0] == 0 and row.cu_seqlens[-1] == SEQ and (np.diff(row.cu_seqlens) > 0).all()
    assert [found[number] for number in range(len(documents))] == [document.tokens.tolist() for document in documents]


@settings(max_examples=30, deadline=None)
@given(lengths=LENGTHS, seed=st.integers(0, 3), algorithm=st.sampled_from(["concat", "best_fit"]))
def test_context_spans_cover_what_precedes_the_target(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int, algorithm: Literal["concat", "best_fit"]
):
    output = tmp_path_factory.mktemp("p") / "rows"
    with mock.patch("megatron_speech.data.packing.layout.BLOCK_TOKENS", 2 * (SEQ + 1)):
        folder = packed_folder(output, lengths, seq_length=SEQ, seed=seed, algorithm=algorithm, with_targets=True)
    rows, documents = RowFolder(folder), documents_of(lengths, seed=seed, with_targets=True)
    carried = dict.fromkeys(range(len(documents)), 0)
    for index in range(len(rows)):
        row, numbers = rows.row(index, target_only=True), rows.documents(index)
        assert not len(rows.row(index).context)
        inside = np.zeros(SEQ + 1, bool)
        for start, end in row.context:
            assert 0 <= start < end <= SEQ + 1
            inside[start:end] = True
        learnt = ~inside[1:] & (row.tokens[:-1] != EOD)
        segment = np.searchsorted(row.cu_seqlens, np.arange(SEQ), side="right") - 1
        for number, count in zip(*np.unique(numbers[segment[learnt]], return_counts=True), strict=True):
            carried[int(number)] += int(count)
    for number, document in enumerate(documents):
        # Targets and the end of document, less a first token, which nothing precedes.
        wanted = len(document.tokens) - max(document.target_start, 1) + 1
        assert carried[number] == wanted, document.key


@pytest.mark.parametrize("algorithm", ["concat", "best_fit"])
def test_packing_is_reproducible_and_shuffled_by_the_seed(tmp_path: Path, algorithm: Literal["concat", "best_fit"]):
    lengths = [1 + index % 15 for index in range(200)]
    one = packed_folder(tmp_path / "one", lengths, algorithm=algorithm, shard_tokens=300)
    two = packed_folder(tmp_path / "two", lengths, algorithm=algorithm, shard_tokens=300)
    assert RowFolder(one).index == RowFolder(two).index
    other = tmp_path / "other"
    config = PackShardsConfig(
        input=tmp_path / "one.documents", output=other, seq_length=16, algorithm=algorithm, seed=1
    )
    pack_documents(other, config)
    assert RowFolder(one).row(0).tokens.tolist() != RowFolder(other).row(0).tokens.tolist()


def test_damage_is_named_by_row_or_member(tmp_path: Path):
    folder = packed_folder(tmp_path / "rows", [10] * 40)
    shard = folder / "packed-000000.tar"
    clean = shard.read_bytes()
    width = (SEQ + 1) * 4
    rows = RowFolder(folder)
    for number, row in enumerate(rows):
        assert row.tokens.tolist() == rows.row(number).tokens.tolist()
        assert row.cu_seqlens.tolist() == rows.row(number).cu_seqlens.tolist()
    offset = clean.index(rows.row(3).tokens.tobytes())
    shard.write_bytes(clean[: offset + 4] + b"\x01" + clean[offset + 5 :])
    fresh = RowFolder(folder)
    fresh.row(2)
    for read in (lambda: fresh.row(3), lambda: list(fresh)):
        with pytest.raises(ValueError, match=rf"packed-000000.tar: block 0, row 3 of tokens.i32 at byte {offset}"):
            read()
    damage, *others = verify_folder(folder, ids=False)
    assert (damage.block, damage.member, damage.byte, others) == (0, "tokens.i32", offset - 3 * width, [])
    place = clean.index(b"cu.i32")
    shard.write_bytes(clean[: place + 600] + b"\x07" + clean[place + 601 :])
    with pytest.raises(ValueError, match=r"block 0, cu.i32 at byte \d+: checksum differs"):
        RowFolder(folder).row(0)


def test_bare_codes_cannot_be_packed(tmp_path: Path):
    codes = Vocabulary.of_codes(200, "tokenizer")
    write_documents(tmp_path / "codes", documents_of([4]), vocabulary=codes, name="codes")
    with pytest.raises(ValueError, match="no end-of-document"):
        pack_documents(tmp_path / "rows", PackShardsConfig(input=tmp_path / "codes", output=tmp_path / "rows"))


def _cut(stream: np.ndarray) -> list[list[int]]:
    """Documents of a stream, without their closing id."""
    ends = np.flatnonzero(stream == EOD)
    return [part[part != EOD].tolist() for part in np.split(stream, ends + 1) if len(part)]


def _check_boundaries(rows: RowFolder, *, starts: list[int]) -> None:
    for index in range(len(rows)):
        origin = index * SEQ
        inside = [start - origin for start in starts if origin < start < origin + SEQ]
        assert rows.row(index).cu_seqlens.tolist() == [0, *inside, SEQ]
        assert len(rows.documents(index)) == len(inside) + 1


def test_what_cannot_be_packed_together_is_named_by_folder(tmp_path: Path):
    other = Vocabulary(num_text_ids=100, num_speech_ids=60)
    names = ("one", "two", "empty")
    for name, vocabulary, lengths in zip(names, (VOCABULARY, other, VOCABULARY), ([5], [6], []), strict=True):
        folder = tmp_path / name
        write_documents(folder, documents_of(lengths), vocabulary=vocabulary, name="toy", allow_empty=True)
    one, two, empty = (tmp_path / name for name in names)
    rule = rf"^{two} is of vocabulary {other.fingerprint[:12]} and {one} of {VOCABULARY.fingerprint[:12]}"
    with pytest.raises(ValueError, match=rule):
        pack_documents(tmp_path / "rows", PackShardsConfig(input=[one, two], output=tmp_path / "rows"))
    with pytest.raises(ValueError, match=rf"^{empty}: no document to pack"):
        pack_documents(tmp_path / "rows", PackShardsConfig(input=empty, output=tmp_path / "rows"))
    with pytest.raises(ValueError, match=rf"^{empty}, {one}: no document fits into rows of seq_length=2;"):
        config = PackShardsConfig(input=[empty, one], output=tmp_path / "rows", seq_length=2, algorithm="best_fit")
        pack_documents(tmp_path / "rows", replace(config, overlong="drop"))


def test_an_empty_folder_is_shown_as_such(tmp_path: Path):
    write_documents(tmp_path / "empty", [], vocabulary=VOCABULARY, name="toy", allow_empty=True)
    first, *_ = inspect_shards(InspectShardsConfig(folder=tmp_path / "empty"))
    assert "0 documents in 0 shards" in first
