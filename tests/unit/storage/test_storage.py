"""The same rows from every kind of storage, by any number of threads, through failing servers and torn caches."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.run.reader import ReaderConfig
from megatron_speech.data.packing import layout
from megatron_speech.data.plan.mixture import compile_plan
from megatron_speech.data.plan.plan import Plan
from megatron_speech.data.reading.batch import collate, to_words
from megatron_speech.data.reading.read_ahead import read_ahead
from megatron_speech.data.reading.reader import Reader
from megatron_speech.data.shards.block_folder import DamagedError
from megatron_speech.storage import retry
from megatron_speech.storage.cache import BlockCache
from megatron_speech.storage.local import Mapped, Positioned
from megatron_speech.storage.place import Places
from megatron_speech.storage.read_stats import ReadStats, describe
from megatron_speech.storage.retry import Retry
from megatron_speech.training.batches import sample_numbers
from tests.servers import ShardServer, serving
from tests.toys import VOCABULARY, packed_folder

SEQ, BATCH, STEPS = 16, 6, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty rows or so in blocks of five, in a few shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "BLOCK_TOKENS", 5 * (SEQ + 1))
        lengths = [3 + index * 7 % 23 for index in range(72)]
        made = packed_folder(
            tmp_path_factory.mktemp("packed") / "rows", lengths, seq_length=SEQ, with_targets=True, shard_tokens=300
        )
    assert len(list(made.glob("*.tar"))) > 2
    return made


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShardServer]:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.0)
    with serving(folder) as running:
        yield running


def _data(where: str | Path, reader: ReaderConfig) -> DataConfig:
    return DataConfig(seq_length=SEQ, sources={"only": SourceConfig(folder=where, task="synthesis")}, reader=reader)


def _plan(where: str | Path, reader: ReaderConfig) -> Plan:
    return compile_plan(_data(where, reader), vocabulary=VOCABULARY, num_samples=BATCH * STEPS)


def _batches(where: str | Path, reader: ReaderConfig, *, places: Places | None = None, first: int = 0) -> list[bytes]:
    """All micro-batches from sample `first` on, as a rank reads them."""
    found = Reader(_plan(where, reader), places or Places(reader))
    numbers = (
        sample_numbers(start, num_microbatches=3, micro_batch_size=2, data_parallel_rank=0, data_parallel_size=1)
        for start in range(first, BATCH * STEPS, BATCH)
    )
    steps = read_ahead(
        numbers, lambda batch: collate(found.rows(batch)), microbatches=reader.prefetch, threads=reader.threads
    )
    return [to_words(hosts).tobytes() for hosts in steps]


@pytest.fixture(scope="module")
def truth(folder: Path) -> list[bytes]:
    return _batches(folder, ReaderConfig())


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("kind", ["mmap", "pread", "ranged", "cached"])
def test_every_storage_gives_the_same_batches(
    kind: str, threads: int, server: ShardServer, truth: list[bytes], tmp_path: Path
) -> None:
    config = ReaderConfig(threads=threads, cache=tmp_path, cache_bytes=1 << 20 if kind == "cached" else 0)
    if kind in ("mmap", "pread"):
        config = dataclasses.replace(config, storage=kind)
    assert _batches(server.folder if kind in ("mmap", "pread") else server.url, config) == truth


def test_a_run_goes_on_from_another_storage(server: ShardServer, truth: list[bytes], tmp_path: Path) -> None:
    remote, local = ReaderConfig(cache=tmp_path), ReaderConfig()
    assert _plan(server.url, remote).fingerprint == _plan(server.folder, local).fingerprint
    assert _batches(server.url, remote, first=3 * BATCH) == truth[3:]


def test_a_cache_is_filled_once_and_serves_the_next_run(
    server: ShardServer, truth: list[bytes], tmp_path: Path
) -> None:
    config = ReaderConfig(cache=tmp_path)
    first, second = Places(config), Places(config)
    assert _batches(server.url, config, places=first) == truth
    fetched = [request for request in server.requests if ".tar" in request]
    assert len(fetched) == len(set(fetched)), "a block was fetched twice"
    server.requests.clear()
    assert _batches(server.url, config, places=second) == truth
    assert not [r for r in server.requests if ".tar" in r and "whole" not in r and r not in _end_marks(fetched)]
    counts = describe(second.stats.take())
    assert counts["cache_misses"] == 0 and counts["cache_hits"] > 0
    assert counts["row_bytes"] == BATCH * STEPS * 4 * (SEQ + 1)
    assert 0 < counts["read_ms_p50"] <= counts["read_ms_p99"]


def _end_marks(requests: list[str]) -> list[str]:
    """The last range of each shard: read once at its first touch, by every process."""
    last: dict[str, str] = {}
    for request in requests:
        path, span = request.split(" ")
        start = int(span.split("=")[1].split("-")[0])
        last[path] = max(last.get(path, ""), f"{start:012d} {request}")
    return [entry.split(" ", 1)[1] for entry in last.values()]


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_a_server_in_a_bad_mood_is_asked_again(
    cache_bytes: int, server: ShardServer, truth: list[bytes], tmp_path: Path
) -> None:
    config = ReaderConfig(cache=tmp_path, cache_bytes=cache_bytes, threads=2, attempts=12)
    server.moods = ["503", "cut", "503", "503", "cut"] * 2
    places = Places(config)
    assert _batches(server.url, config, places=places) == truth
    assert describe(places.stats.take())["retries"] >= 5 and not server.moods


def test_a_silent_server_is_asked_again(server: ShardServer, tmp_path: Path) -> None:
    config = ReaderConfig(cache=tmp_path, timeout_s=0.5, attempts=2)
    places = Places(config)
    reader = Reader(_plan(server.url, config), places)
    server.moods, server.slow_s = ["slow"], 2.0
    reader.rows([0])
    assert describe(places.stats.take())["retries"] == 1
    server.moods = ["slow"] * 2
    with pytest.raises(ConnectionError, match="not read in 2 attempts, the last said FSTimeoutError"):
        reader.rows(range(1, BATCH * STEPS))


def test_the_last_error_names_url_range_and_attempts(server: ShardServer, tmp_path: Path) -> None:
    config = ReaderConfig(cache=tmp_path, cache_bytes=0, attempts=3)
    reader = Reader(_plan(server.url, config), Places(config))
    reader.rows([0])
    server.moods = ["503"] * 3
    with pytest.raises(
        ConnectionError, match=rf"{server.url}/packed-\d+.tar: bytes \d+ to \d+: not read in 3 attempts.*503"
    ):
        reader.rows(range(BATCH))
    assert not server.moods, "another number of attempts"


def test_what_is_not_there_is_not_asked_for_again(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "served").mkdir()
    for path in [*folder.glob("*.json"), *folder.glob("*.mspx")]:
        (tmp_path / "served" / path.name).write_bytes(path.read_bytes())
    config = ReaderConfig(cache=tmp_path / "cache")
    with serving(tmp_path / "served") as server:
        with pytest.raises(FileNotFoundError, match=rf"{server.url}/packed-\d+.tar is missing though"):
            Reader(_plan(server.url, config), Places(config)).rows(range(BATCH))
        with pytest.raises(FileNotFoundError, match=r"data.sources.only.folder=http://.*/nowhere holds no shards.json"):
            _plan(f"{server.url}/nowhere", config)
        assert len([request for request in server.requests if "nowhere" in request]) == 1


def test_a_server_that_ignores_ranges_is_refused(folder: Path, tmp_path: Path) -> None:
    with serving(folder, ranges=False) as server:
        with pytest.raises(ValueError, match=r"shards.json: the server ignores byte ranges"):
            _plan(server.url, ReaderConfig(cache=tmp_path))


def test_a_truncated_file_behind_a_url_is_named(folder: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    for path in folder.iterdir():
        (served / path.name).write_bytes(path.read_bytes()[: -512 if path.suffix == ".tar" else None])
    config = ReaderConfig(cache=tmp_path / "cache")
    with serving(served) as server:
        with pytest.raises(ValueError, match=r"packed-\d+.tar: \d+ bytes where its index states"):
            Reader(_plan(server.url, config), Places(config)).rows(range(BATCH))


def test_a_source_that_changed_gets_another_mirror(folder: Path, tmp_path: Path) -> None:
    config = ReaderConfig(cache=tmp_path / "cache")
    served = tmp_path / "served"
    served.symlink_to(folder)
    with serving(served) as server:
        before = _plan(server.url, config)
        served.unlink()
        served.symlink_to(packed_folder(tmp_path / "other", [40] * 20, seq_length=SEQ))
        after = _plan(server.url, config)
        assert before.sources[0].checksum != after.sources[0].checksum
        with pytest.raises(ValueError, match="changed since the plan was made"):
            Reader(before, Places(config))


def _blocks(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "blocks").glob("*/*"))


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "gone"])
def test_a_harmed_copy_is_fetched_again(harm: str, server: ShardServer, truth: list[bytes], tmp_path: Path) -> None:
    config = ReaderConfig(cache=tmp_path)
    assert _batches(server.url, config) == truth
    for path in _blocks(tmp_path):
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :: 40] = bytes(len(content[len(content) // 2 :: 40]))
        harmed = {"flip": bytes(content), "cut": bytes(content[: len(content) // 3]), "empty": b""}
        path.unlink() if harm == "gone" else path.write_bytes(harmed[harm])
    assert _batches(server.url, config) == truth


def test_a_damaged_sidecar_in_the_mirror_is_fetched_again(
    server: ShardServer, truth: list[bytes], tmp_path: Path
) -> None:
    config = ReaderConfig(cache=tmp_path)
    assert _batches(server.url, config) == truth
    for path in (tmp_path / "mirrors").glob("*/packed-*"):
        path.write_bytes(path.read_bytes()[:-30])
    assert _batches(server.url, config) == truth


def test_damage_at_the_source_stays_damage(folder: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    for path in folder.iterdir():
        content = bytearray(path.read_bytes())
        if path.suffix == ".tar":
            content[len(content) // 2] ^= 1
        (served / path.name).write_bytes(content)
    config = ReaderConfig(cache=tmp_path / "cache")
    with serving(served) as server:
        reader = Reader(_plan(server.url, config), Places(config))
        with pytest.raises(DamagedError, match=rf"{server.url}/packed-\d+.tar: block \d+, .* checksum differs"):
            reader.rows(range(BATCH * STEPS))


def test_a_cache_keeps_its_limit_and_what_was_used_last(tmp_path: Path) -> None:
    stats = ReadStats()
    cache = BlockCache(tmp_path, limit=1000, stats=stats)
    for key in range(40):
        cache.read(f"{key:04d}", 0, 10, make=lambda: bytes(100))
        for index, path in enumerate(_blocks(tmp_path)):  # no clock decides this test
            os.utime(path, (index, index if path.name != "0003" else 1e9))
        assert sum(path.stat().st_size for path in _blocks(tmp_path)) <= 1000
    names = [path.name for path in _blocks(tmp_path)]
    assert "0003" in names and "0039" in names and len(names) >= 8
    cache.read("large", 0, 10, make=lambda: bytes(1001))
    assert "large" not in [path.name for path in _blocks(tmp_path)]
    assert describe(stats.take())["cache_misses"] == 41


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from megatron_speech.storage.read_stats import ReadStats
from megatron_speech.storage.cache import BlockCache
folder, when = Path(sys.argv[1]), sys.argv[2]
def die(*args): os.kill(os.getpid(), signal.SIGKILL)
if when == "before rename": Path.replace = die
if when == "while writing":
    def write(self, content):
        with self.open("wb") as file: file.write(content[:50])
        die()
    Path.write_bytes = write
if when == "before writing": Path.write_bytes = die
cache = BlockCache(folder, limit=1000, stats=ReadStats())
cache.read("aakey", 0, 10, make=lambda: bytes(100))
"""


@pytest.mark.parametrize("when", ["before writing", "while writing", "before rename"])
def test_a_killed_writer_leaves_no_block_and_no_room_uncounted(when: str, tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(tmp_path), when], timeout=60)
    assert died.returncode == -signal.SIGKILL
    assert not [path for path in _blocks(tmp_path) if path.suffix != ".tmp"]
    for path in _blocks(tmp_path):
        os.utime(path, (1, 1))
    cache = BlockCache(tmp_path, limit=1000, stats=ReadStats())
    assert cache.read("aakey", 5, 10, make=lambda: bytes(range(100))) == bytes(range(5, 15))
    for key in range(12):
        cache.read(f"{key:04d}", 0, 10, make=lambda: bytes(100))
        assert sum(path.stat().st_size for path in _blocks(tmp_path)) <= 1000 + 100 * (when != "before writing")
    assert not [path for path in _blocks(tmp_path) if path.suffix == ".tmp"], "an eviction removes what a kill left"


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("kind", [Mapped, lambda open_files: Positioned(Retry(1), open_files=open_files)])
def test_few_files_stay_open(kind: type[Mapped], tmp_path: Path) -> None:
    paths = []
    for number in range(9):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(bytes([number] * 64))
    storage = kind(open_files=3)
    before = _open_files()

    def read() -> None:
        for number, path in enumerate(paths * 3):
            assert bytes(storage.read(str(path), 8, 16)) == bytes([number % 9] * 16)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _open_files() <= before + 3
    with pytest.raises(EOFError, match=r"0: 4 of 8 bytes at byte 60, the file ends before"):
        storage.read(str(paths[0]), 60, 8)


def test_a_file_whose_server_went_away_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shard.tar"
    path.write_bytes(bytes(range(64)))
    storage = Positioned(Retry(3, sleep=lambda pause: None))
    storage.read(str(path), 0, 8)
    opened: list[str] = []
    real_open, real_pread, failures = os.open, os.pread, [errno.ESTALE, errno.EIO]

    def pread(*args: int) -> bytes:
        if failures:
            raise OSError(failures.pop(), "no answer")
        return real_pread(*args)

    monkeypatch.setattr(os, "pread", pread)
    monkeypatch.setattr(os, "open", lambda name, *args: opened.append(name) or real_open(name, *args))
    assert storage.read(str(path), 8, 8) == bytes(range(8, 16))
    assert opened == [str(path)] * 2 and not failures
    failures += [errno.EIO] * 3
    with pytest.raises(ConnectionError, match=r"shard.tar: bytes 8 to 16: not read in 3 attempts.*no answer"):
        storage.read(str(path), 8, 8)


def test_pauses_double_at_random_length_and_end() -> None:
    paused: list[float] = []
    calls = iter([OSError("busy")] * 9 + [None])

    def fail() -> None:
        error = next(calls)
        if error:
            raise error

    Retry(10, sleep=paused.append)(fail, what="it")
    assert len(paused) == 9
    limits = [min(retry.LONGEST_PAUSE_S, retry.FIRST_PAUSE_S * 2 ** (n + 1)) for n in range(9)]
    assert all(0 <= pause <= limit for pause, limit in zip(paused, limits, strict=True)) and len(set(paused)) > 1


def test_statistics_of_ranks_add_up() -> None:
    one, two = ReadStats(), ReadStats()
    for number in range(99):
        (one if number % 2 else two).time(1e-4, num_bytes=8)
    two.time(0.5, num_bytes=8)
    two.add(retries=3)
    found = describe(one.take() + two.take())
    assert 0.1 <= found["read_ms_p50"] <= 0.1 * 2 ** (1 / 4) and found["read_ms_p99"] < 1
    assert (found["row_bytes"], found["retries"]) == (800, 3)
    two.time(0.5, num_bytes=8)
    assert 500 <= describe(two.take())["read_ms_p50"] <= 500 * 2 ** (1 / 4)
    assert not np.any(one.take()), "taken twice"


@pytest.mark.parametrize(
    ("where", "cache", "rule"),
    [
        ("pipe:cat shard.tar", Path("c"), "a pipe runs a shell command"),
        ("pipe:s3cmd get s3://b/x -", None, "a pipe runs a shell command"),
        ("gs://bucket/x", Path("c"), "none of the URLs http, https, s3"),
        ("simplecache::s3://bucket/x", Path("c"), "none of the URLs"),
        ("s3://bucket/x", None, "data.reader.cache names no folder"),
    ],
)
def test_folders_that_cannot_be_read_are_refused_by_key(where: str, cache: Path | None, rule: str) -> None:
    with pytest.raises(ValueError, match=rf"^data.sources.only.folder={where}.*{rule}"):
        _data(where, ReaderConfig(cache=cache))


@pytest.mark.parametrize(
    "setting",
    [{"threads": 0}, {"prefetch": 0}, {"attempts": 0}, {"damaged_share": 2.0}, {"damaged_source_share": -1.0}],
)
def test_reader_settings_are_checked(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"data.reader.{next(iter(setting))}="):
        ReaderConfig(**setting)
