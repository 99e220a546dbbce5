"""Rows and speech: spans stay whole where that is asked for, every token is learnt once, and what is cut is counted."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.artifacts.facts.tokens import PackedFacts
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.pack import pack_documents
from megatron_speech.data.packing.speech_spans import speech_spans
from megatron_speech.data.reading.batch import collate, to_device
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.data.shards.rows import RowFolder
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO
from tests.toys import VOCABULARY

SEQ = 16
BEGIN, END = VOCABULARY.special_id(BEGIN_OF_AUDIO), VOCABULARY.special_id(END_OF_AUDIO)
FIRST, EOD = VOCABULARY.first_speech_id, VOCABULARY.end_of_document


def _flat(parts: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(parts))


TEXT = st.lists(st.integers(1, 99), max_size=8)
SPEECH = st.lists(st.integers(FIRST, VOCABULARY.size - 1), min_size=1, max_size=14)
ENCLOSED = st.tuples(st.booleans(), SPEECH, st.booleans()).map(lambda p: [BEGIN] * p[0] + p[1] + [END] * p[2])
DOCUMENT = st.lists(TEXT | ENCLOSED | st.just([BEGIN, END]), min_size=1, max_size=8).map(_flat).filter(bool)


def _packed(root: Path, documents: list[list[int]], **config: Any) -> tuple[RowFolder, PackedFacts]:
    records = [TokenDocument(key=f"d{n}", tokens=np.array(ids, np.int32)) for n, ids in enumerate(documents)]
    write_documents(root / "documents", records, vocabulary=VOCABULARY, name="toy")
    facts = pack_documents(
        root / "rows", PackShardsConfig(input=root / "documents", output=root / "rows", seq_length=SEQ, **config)
    )
    return RowFolder(root / "rows"), facts


def _plain_spans(ids: list[int]) -> list[tuple[int, int]]:
    """[first, last] of every speech span."""
    spans, place = [], 0
    while place < len(ids):
        if ids[place] < FIRST:
            place += 1
            continue
        stop = place
        while stop < len(ids) and ids[stop] >= FIRST:
            stop += 1
        opened = place > 0 and ids[place - 1] == BEGIN
        closed = stop < len(ids) and ids[stop] == END
        spans.append((place - opened, stop - 1 + closed))
        place = stop
    return spans


@settings(max_examples=60, deadline=None)
@given(documents=st.lists(DOCUMENT, min_size=1, max_size=6))
def test_spans_are_those_of_a_walk(documents: list[list[int]]):
    length = np.array([len(ids) for ids in documents])
    begin = np.cumsum(length) - length
    first, last = speech_spans(np.array(_flat(documents), np.int32), begin, VOCABULARY)
    wanted = [
        (s + int(at), e + int(at)) for ids, at in zip(documents, begin, strict=True) for s, e in _plain_spans(ids)
    ]
    assert list(zip(first.tolist(), last.tolist(), strict=True)) == wanted


@settings(max_examples=40, deadline=None)
@given(
    documents=st.lists(DOCUMENT, min_size=1, max_size=12),
    algorithm=st.sampled_from(["concat", "best_fit"]),
    cut=st.booleans(),
)
def test_every_token_is_learnt_once_and_spans_are_whole(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], algorithm: Any, cut: bool
):
    with mock.patch("megatron_speech.data.packing.layout.BLOCK_TOKENS", 2 * (SEQ + 1)):
        folder, facts = _packed(
            tmp_path_factory.mktemp("s"), documents, algorithm=algorithm, cut_speech_spans=cut, overlong="split"
        )
    rows = [folder.row(number) for number in range(len(folder))]
    mask = to_device(collate(rows), VOCABULARY, torch.device("cpu")).loss_mask.numpy()
    learnt: list[Counter[tuple[int, int]]] = [Counter() for _ in documents]
    for number, row in enumerate(rows):
        segment = np.searchsorted(row.cu_seqlens, np.arange(SEQ), side="right") - 1
        held = folder.documents(number)[segment]
        for position in np.flatnonzero(mask[number]).tolist():
            learnt[held[position]][int(row.tokens[position]), int(row.tokens[position + 1])] += 1
    closed = [[*ids, EOD] for ids in documents]
    assert learnt == [Counter(pairwise(ids)) for ids in closed]
    whole = [ids[first : last + 1] for ids in closed for first, last in _plain_spans(ids) if last - first <= SEQ]
    found = [row.tokens.tolist() for row in rows]
    lost = [span for span in whole if not any(_holds(row, span) for row in found)]
    assert cut or not lost
    assert len(lost) <= facts.cut_spans <= facts.cuts
    assert facts.fill == pytest.approx(1 - facts.padding / (len(rows) * SEQ), abs=1e-6)
    assert facts.tokens + facts.padding == len(rows) * SEQ


def test_cuts_are_counted(tmp_path: Path):
    speech = list(range(FIRST, FIRST + 10))
    document = [*range(1, 11), BEGIN, *speech, END, *range(20, 60)]
    cut, facts = _packed(tmp_path / "cut", [document])
    assert (len(cut), facts.cuts, facts.cut_spans) == (4, 3, 1)
    whole, facts = _packed(tmp_path / "whole", [document], cut_speech_spans=False)
    # The first row ends with the begin of audio at token 10, with 11 of 17 tokens; others begin at 10, 26, 42 and 58.
    assert (len(whole), facts.cuts, facts.cut_spans) == (5, 4, 0)
    assert whole.row(0).cu_seqlens.tolist() == [0, 11, SEQ] and whole.documents(0).tolist() == [0, -1]
    assert whole.row(1).tokens[0] == BEGIN and whole.row(0).tokens[10] == BEGIN


@pytest.mark.parametrize("algorithm", ["concat", "best_fit"])
def test_what_no_row_holds_is_an_error_left_out_or_cut(tmp_path: Path, algorithm: Any):
    text, speech = [7] * 5, [FIRST + 3] * 30
    config = {"algorithm": algorithm, "cut_speech_spans": False}
    with pytest.raises(ValueError, match=r"document 1 of .*documents, 'd1': .* takes 3\d tokens where a row"):
        _packed(tmp_path / "error", [text, [BEGIN, *speech, END]], **config)
    _, facts = _packed(tmp_path / "drop", [text, [BEGIN, *speech, END]], **config, overlong="drop")
    assert (facts.documents, facts.dropped, facts.cuts) == (1, 1, 0)
    _, facts = _packed(tmp_path / "split", [text, [BEGIN, *speech, END]], **config, overlong="split")
    assert (facts.documents, facts.dropped) == (2, 0) and facts.cut_spans >= 1
    with pytest.raises(ValueError, match="no document fits into rows of seq_length=16"):
        _packed(tmp_path / "nothing", [speech], **config, overlong="drop")


def test_best_fit_needs_word_on_long_documents(tmp_path: Path):
    documents = [[5] * 5, [6] * 17, [7] * 40, [8] * 16]
    with pytest.raises(
        ValueError,
        match=r"document 1 of .*, 'd1': it takes 18 tokens where a row of seq_length=16 has 17; .*; "
        r"2 of 4 documents are too long, the longest takes 41",
    ):
        _packed(tmp_path / "error", documents, algorithm="best_fit")
    assert not list(tmp_path.rglob("shuffle")), "it is said before documents are shuffled"
    _, facts = _packed(tmp_path / "drop", documents, algorithm="best_fit", overlong="drop")
    assert (facts.documents, facts.dropped, facts.cuts) == (2, 2, 0)
    rows, facts = _packed(tmp_path / "split", documents, algorithm="best_fit", overlong="split")
    assert (facts.documents, facts.dropped, facts.cuts) == (4, 0, 3)
    assert len(rows) == 5  # 17 | 2 + 6, 17 | 17 | 9, 17


def _holds(row: list[int], span: list[int]) -> bool:
    return any(row[place : place + len(span)] == span for place in range(len(row) - len(span) + 1))
