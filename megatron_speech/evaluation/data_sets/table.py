"""Readers of evaluation data sets by layout. A new reader needs one file and one line here.

>>> from pathlib import Path
>>> from megatron_speech.config.stages.evaluation_data import DataSetConfig
>>> list(read_items(DataSetConfig(layout="lama_questions", folder=Path("questions"))))
Traceback (most recent call last):
ValueError: layout=lama_questions: no such layout of evaluation data; did you mean 'llama_questions'?
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets import benchmarks, questions, story_cloze, transcripts
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import Item
from megatron_speech.evaluation.data_sets.own_items import OWN_ITEMS
from megatron_speech.evaluation.data_sets.salmon import SALMON
from megatron_speech.evaluation.data_sets.seed_tts import SEED_TTS_EVAL
from megatron_speech.evaluation.data_sets.speech_codes import SPEECH_CODES
from megatron_speech.evaluation.data_sets.stress_test import STRESS_TEST
from megatron_speech.evaluation.data_sets.wav_pairs import WAV_PAIRS
from megatron_speech.evaluation.data_sets.zero_speech import SBLIMP, SWUGGY

READERS: dict[str, ItemReader] = {
    "wav_pairs": WAV_PAIRS,
    "story_cloze": story_cloze.STORY_CLOZE,
    "cross_modal_cloze": story_cloze.CROSS_MODAL_CLOZE,
    "swuggy": SWUGGY,
    "sblimp": SBLIMP,
    "salmon": SALMON,
    "llama_questions": questions.LLAMA_QUESTIONS,
    "web_questions": questions.WEB_QUESTIONS,
    "trivia_qa": questions.TRIVIA_QA,
    "open_audio_bench": benchmarks.OPEN_AUDIO_BENCH,
    "voice_bench": benchmarks.VOICE_BENCH,
    "big_bench_audio": questions.BIG_BENCH_AUDIO,
    "speech_mmlu": questions.SPEECH_MMLU,
    "uro_bench": benchmarks.URO_BENCH,
    "stress_test": STRESS_TEST,
    "seed_tts_eval": SEED_TTS_EVAL,
    "librispeech": transcripts.LIBRISPEECH,
    "aishell": transcripts.AISHELL,
    "fleurs": transcripts.FLEURS,
    "audio_jsonl": questions.AUDIO_JSONL,
    "own_items": OWN_ITEMS,
    "speech_codes": SPEECH_CODES,
}


def read_items(config: DataSetConfig) -> Iterator[Item]:
    """Items of a data set in a fixed order; those with a defective recording are among them.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: the layout is unknown, or the folder has another layout, or an id repeats.
    """
    reader = reader_of(config.layout)
    if not config.folder.exists():
        raise FileNotFoundError(f"folder={config.folder} does not exist; correct the path")
    seen: set[str] = set()
    try:
        for item in reader.read(config):
            if item.id in seen:
                raise ValueError(f"{config.folder}: item {item.id!r} stands there twice; keep one")
            seen.add(item.id)
            yield item
    except ValueError as error:
        if reader.expects in str(error):
            raise
        raise ValueError(f"{error} (layout={config.layout} expects {reader.expects})") from error
    if not seen:
        raise ValueError(f"folder={config.folder}: no item of layout={config.layout}, which expects {reader.expects}")


def reader_of(layout: str) -> ItemReader:
    """The reader of a layout; ValueError names the nearest one."""
    if layout not in READERS:
        near = difflib.get_close_matches(layout, READERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the layouts are {', '.join(READERS)}"
        raise ValueError(f"layout={layout}: no such layout of evaluation data; {hint}")
    return READERS[layout]
