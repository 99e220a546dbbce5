"""Records rows that were masked because their bytes are damaged, and limits their number.

Every rank appends to its own file, ``<run>/quarantine/rank_<n>.jsonl``, because appends from several nodes to one file
are unsafe on some file systems. A record names the sample and the damaged bytes, so that the shard can be restored. A
resumed run first removes the records of samples that it will read again, so no sample counts twice.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.jsonl_log import append_records, cut_log
from megatron_speech.config.run.reader import ReaderConfig
from megatron_speech.data.shards.block_folder import DamagedError
from megatron_speech.storage.read_stats import ReadStats

logger = logging.getLogger(__name__)

FOLDER = "quarantine"


@dataclass(frozen=True, kw_only=True)
class MaskedRow:
    """One masked sample."""

    sample: int
    """Sample number in the run."""
    source: str
    row: int
    """Row number in the source's folder."""
    file: str
    block: int
    byte: int
    """First damaged byte, as far as checksums can tell."""
    rank: int
    reason: str


class MaskedRows:
    """Records of one rank; safe for several threads."""

    def __init__(self, folder: Path, *, rank: int, stats: ReadStats) -> None:
        self._path, self._rank, self._stats = folder / FOLDER / f"rank_{rank}.jsonl", rank, stats
        self._blocks: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def note(self, *, sample: int, source: str, row: int, error: DamagedError) -> None:
        """Append a record to the file (on disk when this returns), and log a warning."""
        record = MaskedRow(
            sample=sample,
            source=source,
            row=row,
            file=error.file,
            block=error.block,
            byte=error.byte,
            rank=self._rank,
            reason=f"checksum of {error.what} differs",
        )
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            append_records(self._path, [asdict(record)])
            self._stats.add(damaged_samples=1, damaged_blocks=(error.file, error.block) not in self._blocks)
            self._stats.add_masked({source: 1})
            self._blocks.add((error.file, error.block))
        logger.warning("sample %d, row %d of %s, is masked: %s", sample, row, source, error)


def begin(folder: Path, *, consumed_samples: int) -> tuple[Counter[str], int]:
    """Remove records of samples that will be read again; returns (samples by source, blocks) of the rest, all ranks."""
    samples, blocks = Counter[str](), set()
    for path in sorted((folder / FOLDER).glob("rank_*.jsonl")):
        if path.name.endswith(".damaged.jsonl"):
            continue
        kept = cut_log(path, is_record=_is_record, stays=lambda values: values["sample"] < consumed_samples)
        samples.update(values["source"] for values in kept)
        blocks |= {(values["file"], values["block"]) for values in kept}
    return samples, len(blocks)


def require_few(
    folder: Path, config: ReaderConfig, *, samples: Mapping[str, int], blocks: int, planned: Mapping[str, int]
) -> None:
    """Raise ValueError if damage exceeds both limits of the run, or the limit of one source.

    Args:
        samples: number of masked samples so far, by source.
        blocks: number of damaged blocks so far.
        planned: number of samples in the whole run, by source.
    """
    listed = f"{folder / FOLDER} lists them: restore the shards and resume"
    masked, total = sum(samples.values()), sum(planned.values())
    if blocks > config.damaged_blocks and masked > config.damaged_share * total:
        raise ValueError(
            f"{masked} samples in {blocks} damaged blocks were masked, more than data.reader.damaged_blocks="
            f"{config.damaged_blocks} and damaged_share={config.damaged_share:g} of {total}; {listed}"
        )
    for name, count in samples.items():
        if count > config.damaged_source_share * planned[name]:
            raise ValueError(
                f"source {name}: {count} of the {planned[name]} samples that the run reads of it were masked, "
                f"{count / planned[name]:.1%} where data.reader.damaged_source_share={config.damaged_source_share:g} "
                f"is allowed; {listed}"
            )


def _is_record(values: dict[str, Any]) -> bool:
    kinds = {each.name: int if each.type == "int" else str for each in fields(MaskedRow)}
    return values.keys() == kinds.keys() and all(type(values[name]) is kind for name, kind in kinds.items())
