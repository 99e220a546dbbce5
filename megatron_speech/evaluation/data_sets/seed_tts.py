"""seed-tts-eval: texts to say in the voice of a prompt.

    en/meta.lst    name|text of the prompt|recording of the prompt|text to say[|the text as its owner said it]

Recordings lie beside their list. The Chinese hard cases are a second list, hardcase.lst.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from megatron_speech.audio.sources.tables import read_lines
from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import SayItem, spoken


def _read(config: DataSetConfig) -> Iterator[SayItem]:
    folder = config.folder
    for table in [folder] if folder.is_file() else sorted(folder.rglob("*.lst")):
        subset = "" if folder.is_file() else str(table.relative_to(folder).with_suffix(""))
        for place, line in read_lines(table):
            if line.strip():
                yield _item(table, place, line, subset)


def _item(table: Path, place: str, line: str, subset: str) -> SayItem:
    fields = [field.strip() for field in line.split("|")]
    if len(fields) not in (4, 5):
        raise ValueError(f"{place}: {len(fields)} fields, 4 or 5 are expected: {SEED_TTS_EVAL.expects}")
    name, prompt_text, prompt, text, *reference = fields
    return SayItem(
        id=f"{subset}/{name}".lstrip("/"),
        subset=subset,
        text=text,
        prompt=spoken(table.parent / prompt, prompt_text),
        reference=spoken(table.parent / reference[0], text) if reference else None,
    )


SEED_TTS_EVAL = ItemReader(
    expects="lists .lst with lines name|prompt text|prompt recording|text, perhaps with |recording of the text",
    read=_read,
)
