"""Writes sample data in the formats that a user would bring: texts, recordings with transcripts, evaluation sets.

Texts are first paragraphs of Wikipedia and questions about capitals; the recordings are synthesised by the voice hibari
(`voices`). Everything is chosen by hashes of names, so the folder is the same on any machine.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.manifest import PARTIAL
from megatron_speech.audio.io import write_audio
from megatron_speech.config.stages.miniature import (
    AssetsConfig,
    PrepareCorpusConfig,
    SampleDataConfig,
    SpeakCorpusConfig,
)
from megatron_speech.miniature.corpus import prepare_corpus, read_jsonl, write_jsonl
from megatron_speech.miniature.fetch import fetch_assets
from megatron_speech.miniature.sample_readme import README
from megatron_speech.miniature.utterances import PlannedUtterance, plan_utterances
from megatron_speech.miniature.voices import open_voice
from megatron_speech.progress import Progress

logger = logging.getLogger(__name__)

VOICE = "hibari"
TEXTS = {"train": 1500, "heldout": 40}
"""Number of texts."""
ITEMS = 4
"""Number of items of each evaluation set."""
CHARACTERS = 330
"""Longest text of an evaluation set; it takes less than 30 seconds."""
KEPT = {"cloze": ("item", "part"), "questions": ("country", "reading")}
"""Columns of the tables of evaluation sets that name item and part, by set."""


def sample_data(config: SampleDataConfig) -> None:
    """Write the folder `config.output`. Raises ValueError if it exists, or if a package cannot be fetched."""
    if config.output.exists():
        raise ValueError(f"output={config.output} exists already; remove it, or choose another folder")
    fetch_assets(AssetsConfig(folder=config.assets, set="sample"))
    draft = config.output.with_name(config.output.name + PARTIAL)
    if draft.exists():
        shutil.rmtree(draft)
    corpus = draft / "corpus"
    prepare_corpus(PrepareCorpusConfig(assets=config.assets, output=corpus))
    _write_texts(corpus, draft / "text")
    _write_evaluation_texts(corpus, draft / "evaluation")
    _write_recordings(draft, _plans(config.assets, corpus), config.assets)
    shutil.rmtree(corpus)
    (draft / "README.md").write_text(README)
    draft.rename(config.output)
    logger.info("%s: see %s", config.output, config.output / "README.md")


def _write_texts(corpus: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for part, number in TEXTS.items():
        documents = ({"id": each["id"], "text": each["text"]} for each in read_jsonl(corpus / f"{part}.jsonl"))
        write_jsonl(folder / f"{part}.jsonl", islice(documents, number))


def _write_evaluation_texts(corpus: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in KEPT:
        write_jsonl(folder / f"{name}.jsonl", read_jsonl(corpus / f"{name}.jsonl"))


def _plans(assets: Path, corpus: Path) -> dict[str, list[PlannedUtterance]]:
    """What is said, by the table that lists it."""
    ask = partial(SpeakCorpusConfig, assets=assets, corpus=corpus, output=corpus)
    recordings = partial(ask, geography_share=0)
    items = partial(ask, items=ITEMS, readings=1, max_characters=CHARACTERS)
    asked = {
        "recordings/train": recordings(part="train", utterances={VOICE: 60}),
        "recordings/heldout": recordings(part="heldout", utterances={VOICE: 8}),
        "evaluation/cloze_recordings": items(part="cloze"),
        "evaluation/questions_recordings": items(part="questions"),
    }
    return {table: plan_utterances(config, config.utterances) for table, config in asked.items()}


def _write_recordings(draft: Path, plans: Mapping[str, list[PlannedUtterance]], assets: Path) -> None:
    """Write FLAC files, and a table beside each folder of them."""
    voice = open_voice(VOICE, assets)
    total = sum(map(len, plans.values()))
    with Progress("sample_data: speak", unit="utterances", total=total) as progress:
        for table, utterances in plans.items():
            (draft / table).mkdir(parents=True)
            for number, utterance in enumerate(utterances, 1):
                waveform = voice.speak(utterance.text, speed=utterance.speed, seed=utterance.seed)
                write_audio(draft / table / _file(number), waveform)
                progress.add()
            write_jsonl(draft / f"{table}.jsonl", _rows(Path(table), utterances))


def _rows(table: Path, utterances: Iterable[PlannedUtterance]) -> Iterator[dict[str, Any]]:
    """Rows of a table; audio is relative to the table's folder."""
    kept = KEPT.get(table.name.removesuffix("_recordings"), ())
    for number, utterance in enumerate(utterances, 1):
        row = {"audio": f"{table.name}/{_file(number)}", "text": utterance.text, "voice": "me"}
        yield {**row, **{name: utterance.meta[name] for name in kept}}


def _file(number: int) -> str:
    return f"{number:03d}.flac"
