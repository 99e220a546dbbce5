"""A damaged row keeps its place without teaching anything; all others stay what they are; too many end the run."""

from __future__ import annotations

import dataclasses
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.run.reader import ReaderConfig
from megatron_speech.data.packing import layout
from megatron_speech.data.plan.mixture import compile_plan
from megatron_speech.data.plan.plan import Plan
from megatron_speech.data.reading import masked_rows
from megatron_speech.data.reading.batch import collate, to_device
from megatron_speech.data.reading.masked_rows import MaskedRows, require_few
from megatron_speech.data.reading.reader import Reader
from megatron_speech.data.shards.block_folder import DamagedError
from megatron_speech.data.shards.document import Row
from megatron_speech.data.shards.index import FolderIndex
from megatron_speech.storage.read_stats import ReadStats, describe
from tests.toys import VOCABULARY, packed_folder

SEQ, ROWS_PER_BLOCK = 16, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards, blocks of four rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "BLOCK_TOKENS", ROWS_PER_BLOCK * (SEQ + 1))
        made = tmp_path_factory.mktemp("packed") / "rows"
        return packed_folder(made, [9] * 50, seq_length=SEQ, with_targets=True, shard_tokens=300)


def _copy(folder: Path, to: Path, *, harmed: dict[str, Sequence[int]]) -> Path:
    """The folder with bits flipped at some bytes of some shards."""
    to.mkdir()
    for path in folder.iterdir():
        content = bytearray(path.read_bytes())
        for byte in harmed.get(path.name, ()):
            content[byte] ^= 4
        (to / path.name).write_bytes(content)
    return to


def _plan(folder: Path) -> Plan:
    sources = {"paired": SourceConfig(folder=folder, task="synthesis")}
    total = FolderIndex.load(folder).items
    return compile_plan(DataConfig(seq_length=SEQ, sources=sources), vocabulary=VOCABULARY, num_samples=total)


def _member(folder: Path, shard: str, name: str, *, block: int) -> tuple[int, int]:
    """(first byte, size) of the member of a block."""
    with tarfile.open(folder / shard) as tar:
        found = [member for member in tar if member.name.endswith(name)][block]
        return found.offset_data, found.size


def _is_masked(row: Row) -> bool:
    return bool((row.tokens == VOCABULARY.end_of_document).all()) and row.cu_seqlens.tolist() == [0, SEQ]


def _same(one: Row, two: Row) -> bool:
    return all(np.array_equal(getattr(one, field.name), getattr(two, field.name)) for field in dataclasses.fields(Row))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_masks_what_it_touches_and_nothing_else(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    plan = _plan(folder)
    shard = data.draw(st.sampled_from(sorted(path.name for path in folder.glob("*.tar"))))
    member = data.draw(st.sampled_from(["tokens.i32", "cu.i32", "cuptr.i32", "context.i32", "row.u64"]))
    start, size = _member(folder, shard, member, block=1)
    byte = start + data.draw(st.integers(0, size - 1))
    tmp_path = tmp_path_factory.mktemp("run")
    harmed = _copy(folder, tmp_path / "rows", harmed={shard: [byte]})
    stats = ReadStats()
    reader = Reader(_plan(harmed), masked_rows=MaskedRows(tmp_path, rank=3, stats=stats))
    numbers = range(plan.num_samples)
    wanted, found = Reader(plan).rows(numbers), reader.rows(numbers)

    masked = [number for number in numbers if not _same(wanted[number], found[number])]
    assert len(masked) == (1 if member == "tokens.i32" else ROWS_PER_BLOCK)
    assert all(_is_masked(found[number]) for number in masked)
    records = [json.loads(line) for line in (tmp_path / "quarantine" / "rank_3.jsonl").read_text().splitlines()]
    assert [record["sample"] for record in records] == masked
    for record in records:
        assert (record["source"], record["rank"], record["block"]) == ("paired", 3, 1)
        assert record["file"] == str(harmed / shard) and member in record["reason"]
        assert record["byte"] <= byte < record["byte"] + max(size, 4 * (SEQ + 1))
    counts = describe(stats.take())
    assert (counts["damaged_samples"], counts["damaged_blocks"]) == (len(masked), 1)
    with pytest.raises(DamagedError, match=rf"{shard}: block 1, "):
        Reader(_plan(harmed)).rows(numbers)


def test_a_masked_row_bears_no_loss_and_is_told(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    name = min(path.name for path in folder.glob("*.tar"))
    start, _ = _member(folder, name, "tokens.i32", block=0)
    harmed = _copy(folder, tmp_path / "rows", harmed={name: [start]})
    plan = _plan(harmed)
    rows = Reader(plan, masked_rows=MaskedRows(tmp_path, rank=0, stats=ReadStats())).rows(range(plan.num_samples))
    (masked,) = [row for row in rows if _is_masked(row)]
    (told,) = caplog.messages
    assert "of paired, is masked" in told and str(harmed / name) in told
    batch = to_device(collate([rows[0], masked]), VOCABULARY, torch.device("cpu"))
    assert batch.loss_mask[0].any() and not batch.loss_mask[1].any()
    assert batch.cu_seqlens.tolist()[-2:] == [SEQ, 2 * SEQ]


@pytest.mark.parametrize("harm", ["sidecar", "missing", "truncated"])
def test_a_shard_that_is_not_the_planned_one_is_an_error_in_training_too(
    harm: str, folder: Path, tmp_path: Path
) -> None:
    harmed = _copy(folder, tmp_path / "rows", harmed={})
    plan = _plan(harmed)
    shard = min(harmed.glob("*.tar"))
    (sidecar,) = harmed.glob(f"{shard.stem}.*[!r]")
    for path in {"sidecar": [sidecar], "missing": [], "truncated": [shard]}[harm]:
        path.write_bytes(path.read_bytes()[:-100])
    if harm == "missing":
        shard.unlink()
    reader = Reader(plan, masked_rows=MaskedRows(tmp_path, rank=0, stats=ReadStats()))
    with pytest.raises((ValueError, FileNotFoundError), match=str(sidecar if harm == "sidecar" else shard)) as caught:
        reader.rows(range(plan.num_samples))
    assert not isinstance(caught.value, DamagedError) and not (tmp_path / "quarantine").exists()


def test_what_is_read_again_is_cut_and_the_rest_is_counted(tmp_path: Path) -> None:
    stats = ReadStats()
    for rank, samples in enumerate([[1, 5, 9], [2, 8]]):
        noted = MaskedRows(tmp_path, rank=rank, stats=stats)
        for sample in samples:
            error = DamagedError("a.tar", block=sample // 4, byte=7, what="row 0 of tokens.i32")
            noted.note(sample=sample, source="text", row=sample, error=error)
    with (tmp_path / "quarantine" / "rank_1.jsonl").open("a") as file:
        file.write('{"sample": 3, "so')  # a kill
    assert stats.masked(["other", "text"]).tolist() == [0, 5]
    assert masked_rows.begin(tmp_path, consumed_samples=8) == ({"text": 3}, 2)
    kept = [path.read_text().count("\n") for path in sorted((tmp_path / "quarantine").iterdir())]
    assert kept == [2, 1]
    assert masked_rows.begin(tmp_path, consumed_samples=0) == ({}, 0)


def test_both_limits_must_be_exceeded(tmp_path: Path) -> None:
    config = ReaderConfig(damaged_blocks=3, damaged_share=0.01, damaged_source_share=0.1)
    planned = {"text": 800, "speech": 200}
    require_few(tmp_path, config, samples={"text": 50, "speech": 0}, blocks=3, planned=planned)
    require_few(tmp_path, config, samples={"text": 6, "speech": 4}, blocks=10, planned=planned)
    with pytest.raises(ValueError, match=r"11 samples in 4 damaged blocks.*damaged_blocks=3 and damaged_share=0.01"):
        require_few(tmp_path, config, samples={"text": 7, "speech": 4}, blocks=4, planned=planned)


def test_a_small_source_is_not_lost_within_the_limits_of_a_large_run(tmp_path: Path) -> None:
    """Two damaged blocks are few for the run, but most of what this source has."""
    planned = {"web": 10**9, "small": 200, "unread": 0}
    require_few(tmp_path, ReaderConfig(), samples={"web": 60, "small": 2, "unread": 0}, blocks=2, planned=planned)
    rule = r"source small: 3 of the 200 samples .*, 1\.5% where data\.reader\.damaged_source_share=0\.01 .* restore"
    with pytest.raises(ValueError, match=rule):
        require_few(tmp_path, ReaderConfig(), samples={"web": 60, "small": 3, "unread": 0}, blocks=2, planned=planned)
