"""sWUGGY and sBLIMP as ZeroSpeech 2021 publishes them: recordings, and gold.csv, which says which are right.

    lexical/dev/*.wav    lexical/dev/gold.csv      filename, id, voice, word, correct, ...
    syntactic/dev/*.wav  syntactic/dev/gold.csv    filename, id, voice, transcription, correct, ...

A pair is an id in one voice. The folder may be that of a split, such as lexical/dev, or the one above lexical.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import ChoiceItem, spoken
from megatron_speech.evaluation.data_sets.tables import TableRow, table_rows


def _read(config: DataSetConfig, *, task: str, text: str) -> Iterator[ChoiceItem]:
    own = config.folder / "gold.csv"
    for gold in [own] if own.is_file() else sorted((config.folder / task).glob("*/gold.csv")):
        split = "" if gold == own else gold.parent.name
        pairs: defaultdict[tuple[str, str], list[TableRow]] = defaultdict(list)
        for row in table_rows(gold):
            pairs[row.text("id"), str(row.cell("voice"))].append(row)
        for (number, voice), rows in pairs.items():
            yield _pair(f"{split}/{number}/{voice}".lstrip("/"), split, rows, text)


def _pair(name: str, split: str, rows: list[TableRow], text: str) -> ChoiceItem:
    marks = [str(row.cell("correct")) for row in rows]
    if sorted(marks) != ["0", "1"]:
        raise ValueError(
            f"{rows[0].place}: pair {name!r} has the marks correct={', '.join(marks)}; one 1 and one 0 are expected"
        )
    candidates = tuple(spoken(_file(row), str(row.cell(text))) for row in rows)
    return ChoiceItem(id=name, subset=split, candidates=candidates, right=marks.index("1"))


def _file(row: TableRow) -> Path:
    return row.table.with_name(row.text("filename").removesuffix(".wav") + ".wav")


SWUGGY = ItemReader(
    expects="lexical/<split>/gold.csv with the columns filename, id, voice, word, correct, and its recordings",
    read=partial(_read, task="lexical", text="word"),
)
SBLIMP = ItemReader(
    expects="syntactic/<split>/gold.csv with the columns filename, id, voice, transcription, correct, and its "
    "recordings",
    read=partial(_read, task="syntactic", text="transcription"),
)
