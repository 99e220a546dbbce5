"""Plans over real folders: exact budgets, coverage, identity, refusals; and the reader that follows them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megatron_speech.config.run.data import DataConfig, LossConfig, SourceConfig
from megatron_speech.data.plan.mixture import compile_plan
from megatron_speech.data.plan.plan import Plan
from megatron_speech.data.plan.table import describe
from megatron_speech.data.reading.reader import Reader
from megatron_speech.data.shards.rows import RowFolder
from megatron_speech.vocabulary import Vocabulary
from tests.toys import VOCABULARY, packed_folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("packed")
    return {
        "text": packed_folder(root / "text", [12] * 100, shard_tokens=300),
        "synthesis": packed_folder(root / "synthesis", [7] * 30, algorithm="best_fit", with_targets=True, seed=1),
        "speech": packed_folder(root / "speech", [30] * 10, seed=2),
    }


def _config(folders: dict[str, Path], **changes: object) -> DataConfig:
    sources = {
        "text": SourceConfig(folder=folders["text"], task="interleaved", weight=0.3),
        "synthesis": SourceConfig(folder=folders["synthesis"], task="synthesis", weight=0.6),
        "speech": SourceConfig(folder=folders["speech"], task="speech", weight=0.1),
    }
    return DataConfig(**{"seq_length": 16, "sources": sources, **changes})


def _speech(folders: dict[str, Path], **loss: Any) -> SourceConfig:
    return SourceConfig(folder=folders["speech"], task="speech", weight=0.1, loss=LossConfig(**loss))


def _plan(folders: dict[str, Path], num_samples: int = 200, **changes: object) -> Plan:
    return compile_plan(_config(folders, **changes), vocabulary=VOCABULARY, num_samples=num_samples)


def test_budgets_are_exact_and_sources_keep_their_order(folders: dict[str, Path]):
    plan = _plan(folders)
    assert [source.name for source in plan.sources] == ["text", "synthesis", "speech"]
    assert list(plan.stages[0].budgets.values()) == [60, 120, 20]
    source, _ = plan.locate_many(np.arange(200))
    assert np.bincount(source).tolist() == [60, 120, 20]
    assert list(plan.consumed(100).values()) == np.bincount(source[:100]).tolist()


def test_each_epoch_reads_every_row_once(folders: dict[str, Path]):
    plan = _plan(folders, num_samples=2000)
    source, row = plan.locate_many(np.arange(plan.num_samples))
    for index, entry in enumerate(plan.sources):
        read = row[source == index]
        for epoch in range(len(read) // entry.rows):
            part = read[epoch * entry.rows : (epoch + 1) * entry.rows]
            assert sorted(part.tolist()) == list(range(entry.rows)), (entry.name, epoch)


def test_order_does_not_depend_on_batches_or_ranks(folders: dict[str, Path]):
    plan = _plan(folders, num_samples=96)
    alone = [tuple(np.ravel(plan.locate_many([number])).tolist()) for number in range(96)]
    for batch in (1, 2, 3, 8, 96):
        for ranks in (1, 2, 3):
            found = {}
            for rank in range(ranks):
                for start in range(rank * batch, 96, ranks * batch):
                    numbers = np.arange(start, min(96, start + batch))
                    found |= dict(zip(numbers.tolist(), zip(*plan.locate_many(numbers), strict=True), strict=True))
            assert [tuple(map(int, found[number])) for number in range(96)] == alone


def test_reader_gives_the_rows_the_plan_names(folders: dict[str, Path]):
    plan = _plan(folders)
    reader = Reader(plan)
    numbers = [150, 3, 3, 77, 0]
    for number, row in zip(numbers, reader.rows(numbers), strict=True):
        source, index = np.ravel(plan.locate_many([number])).tolist()
        entry = plan.sources[source]
        expected = RowFolder(entry.folder).row(index, source=source, target_only=entry.name == "synthesis")
        assert row.source == source
        assert row.tokens.tolist() == expected.tokens.tolist()
        assert row.cu_seqlens.tolist() == expected.cu_seqlens.tolist()
        assert row.context.tolist() == expected.context.tolist()
    assert any(len(row.context) for row in reader.rows(range(200)))


def test_the_fingerprint_names_what_decides_the_data(folders: dict[str, Path], tmp_path: Path):
    plan = _plan(folders)
    assert plan.fingerprint == _plan(folders).fingerprint
    moved = {name: shutil.copytree(folder, tmp_path / name) for name, folder in folders.items()}
    assert _plan(moved).fingerprint == plan.fingerprint
    others = [
        _plan(folders, seed=1),
        _plan(folders, num_samples=201),
        _plan({**folders, "speech": folders["text"]}),
        _plan(folders, sources={**_config(folders).sources, "speech": _speech(folders, tokens="target")}),
        _plan(folders, sources={**_config(folders).sources, "speech": _speech(folders, text_weight=0.5)}),
    ]
    assert len({plan.fingerprint, *(other.fingerprint for other in others)}) == 6
    assert plan.to_json()["num_samples"] == 200


def test_the_table_says_what_each_source_teaches(folders: dict[str, Path]):
    sources = {**_config(folders).sources, "speech": _speech(folders, speech_weight=0.25)}
    lines = {line.split()[0]: line for line in describe(_plan(folders, sources=sources)).splitlines()}
    assert lines["synthesis"].endswith("target 1:1") and lines["text"].endswith("all 1:1")
    assert lines["speech"].endswith("all 1:0.25")


def test_too_many_epochs_are_refused_with_every_source(folders: dict[str, Path]):
    sources = {
        "text": SourceConfig(folder=folders["text"], task="interleaved", weight=0.5, max_epochs=1.0),
        "speech": SourceConfig(folder=folders["speech"], task="speech", weight=0.5),
    }
    rows = len(RowFolder(folders["text"]))
    compile_plan(DataConfig(seq_length=16, sources=sources), vocabulary=VOCABULARY, num_samples=2 * rows)
    with pytest.raises(
        ValueError, match=r"text: \d+ of \d+ rows, 1.01 epochs \(max_epochs=1\) TOO MANY; speech: .*lower"
    ):
        compile_plan(DataConfig(seq_length=16, sources=sources), vocabulary=VOCABULARY, num_samples=2 * rows + 2)


def test_a_source_without_weight_is_planned_but_never_read(folders: dict[str, Path]):
    sources = {
        "text": SourceConfig(folder=folders["text"], task="interleaved", weight=0),
        "speech": SourceConfig(folder=folders["speech"], task="speech"),
    }
    plan = compile_plan(DataConfig(seq_length=16, sources=sources), vocabulary=VOCABULARY, num_samples=50)
    assert set(plan.locate_many(np.arange(50))[0].tolist()) == {1}


def test_folders_of_another_kind_are_refused(folders: dict[str, Path], tmp_path: Path):
    with pytest.raises(ValueError, match=r"packed with seq_length=16 where data.seq_length=32"):
        _plan(folders, seq_length=32)
    with pytest.raises(ValueError, match=r"data.sources.text.folder=.*vocabulary fingerprint"):
        compile_plan(_config(folders), vocabulary=Vocabulary(num_text_ids=7, num_speech_ids=0), num_samples=8)
    with pytest.raises(ValueError, match="holds documents, not packed rows"):
        _plan({**folders, "text": folders["text"].with_name("text.documents")})
    with pytest.raises(FileNotFoundError, match="not a finished folder of shards"):
        _plan({**folders, "text": tmp_path})


def test_a_folder_that_changed_after_planning_is_refused(folders: dict[str, Path], tmp_path: Path):
    plan = _plan(folders)
    place = shutil.copytree(folders["speech"], tmp_path / "speech")
    replaced = _plan({**folders, "speech": place})
    shutil.rmtree(place)
    packed_folder(place.with_name("other"), [31] * 10, seed=3).rename(place)
    Reader(plan)
    with pytest.raises(ValueError, match="changed since the plan was made"):
        Reader(replaced)
