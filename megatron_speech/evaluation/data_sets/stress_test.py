"""StressTest: which of two meanings does the stress of a spoken sentence give it?"""

from __future__ import annotations

from collections.abc import Iterator

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import ChoiceItem, Passage
from megatron_speech.evaluation.data_sets.tables import table_rows, tables_below

COLUMNS = ("audio", "transcription", "interpretation_id", "possible_answers", "label")


def _read(config: DataSetConfig) -> Iterator[ChoiceItem]:
    for table in tables_below(config.folder):
        for row in table_rows(table):
            answers, label = row.cell("possible_answers"), row.cell("label")
            if not isinstance(answers, list) or len(answers) < 2 or label not in range(len(answers)):
                raise ValueError(
                    f"{row.place}: label={label!r:.20} must be the place of one of possible_answers={answers!r:.60}"
                )
            yield ChoiceItem(
                id=str(row.cell("interpretation_id")),
                context=row.passage(("audio",), row.text("transcription")),
                candidates=tuple(Passage(text=str(answer)) for answer in answers),
                right=int(label),
                notes=row.notes(*COLUMNS),
            )


STRESS_TEST = ItemReader(expects=f"Parquet with the columns {', '.join(COLUMNS)}", read=_read)
