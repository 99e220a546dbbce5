"""StoryCloze in writing, and in writing and speech.

Written: tables of four sentences, two endings and which is right, in the names of the publisher's CSV or of the Hub.
Cross-modal: X_mutual, X_correct and X_incorrect, each as .wav and .txt, in one folder or in a folder per speaker.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.files import visible_files
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import ChoiceItem, Passage, spoken
from megatron_speech.evaluation.data_sets.tables import table_rows, tables_below


def _read_written(config: DataSetConfig) -> Iterator[ChoiceItem]:
    for table in tables_below(config.folder):
        for row in table_rows(table):
            sentences = [row.text(f"input_sentence_{n}", f"InputSentence{n}") for n in range(1, 5)]
            endings = [row.text(f"sentence_quiz{n}", f"RandomFifthSentenceQuiz{n}") for n in (1, 2)]
            right = str(row.cell("answer_right_ending", "AnswerRightEnding"))
            if right not in ("1", "2"):
                raise ValueError(f"{row.place}: answer_right_ending={right} must be 1 or 2; take a set with answers")
            yield ChoiceItem(
                id=row.text("story_id", "InputStoryid"),
                context=Passage(text=" ".join(sentences)),
                candidates=tuple(Passage(text=ending) for ending in endings),
                right=int(right) - 1,
            )


def _read_cross_modal(config: DataSetConfig) -> Iterator[ChoiceItem]:
    # Any part shows that an item is there, so that a missing file is counted.
    parts = ("mutual", "correct", "incorrect")
    found = {
        (path.parent, path.stem.rpartition("_")) for path in visible_files(config.folder, "*_*.*") if _is_part(path)
    }
    for folder, name in sorted({(folder, name[0]) for folder, name in found if name[2] in parts}):
        subset = "" if folder == config.folder else str(folder.relative_to(config.folder))
        context, right, wrong = (_passage(folder / f"{name}_{part}") for part in parts)
        yield ChoiceItem(
            id=f"{subset}/{name}".lstrip("/"), subset=subset, context=context, candidates=(right, wrong), right=0
        )


def _is_part(path: Path) -> bool:
    return path.suffix in (".wav", ".txt")


def _passage(part: Path) -> Passage:
    text = part.with_name(part.name + ".txt")
    words = text.read_text(encoding="utf-8").strip() if text.is_file() else None
    return spoken(part.with_name(part.name + ".wav"), words)


STORY_CLOZE = ItemReader(
    expects="a table with the columns input_sentence_1 to 4, sentence_quiz1, sentence_quiz2, answer_right_ending, "
    "story_id (or InputSentence1 to 4, RandomFifthSentenceQuiz1 and 2, AnswerRightEnding, InputStoryid)",
    read=_read_written,
)
CROSS_MODAL_CLOZE = ItemReader(
    expects="<item>_mutual, <item>_correct and <item>_incorrect, each as .wav and .txt", read=_read_cross_modal
)
