"""seed-tts-eval: texts to say in the voice of a prompt.

    en/meta.lst    name|text of the prompt|recording of the prompt|text to say[|the text as its owner said it]
                   name|text to say[|recording of the prompt]

Recordings lie beside their list. The Chinese hard cases are a second list, hardcase.lst.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from megatron_speech.audio.sources.tables import read_lines
from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.files import visible_files
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import Passage, SayItem, spoken


def _read(config: DataSetConfig) -> Iterator[SayItem]:
    folder = config.folder
    for table in [folder] if folder.is_file() else visible_files(folder, "*.lst"):
        subset = "" if folder.is_file() else str(table.relative_to(folder).with_suffix(""))
        for place, line in read_lines(table):
            if line.strip():
                yield _item(table, place, line, subset)


def _item(table: Path, place: str, line: str, subset: str) -> SayItem:
    prompt, reference = Passage(), None
    match [field.strip() for field in line.split("|")]:
        case [name, text]:
            pass
        case [name, text, recording]:
            prompt = spoken(table.parent / recording)
        case [name, words, recording, text, *owner] if len(owner) < 2:
            prompt = spoken(table.parent / recording, words)
            reference = spoken(table.parent / owner[0], text) if owner else None
        case fields:
            raise ValueError(f"{place}: {len(fields)} fields, 2 to 5 are expected: {SEED_TTS_EVAL.expects}")
    name = name.removesuffix(".wav")
    return SayItem(id=f"{subset}/{name}".lstrip("/"), subset=subset, text=text, prompt=prompt, reference=reference)


SEED_TTS_EVAL = ItemReader(
    expects="lists .lst with lines name|prompt text|prompt recording|text, perhaps with |recording of the text, or "
    "with lines name|text, perhaps with |prompt recording",
    read=_read,
)
