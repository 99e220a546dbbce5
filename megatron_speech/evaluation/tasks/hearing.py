"""Reads what a model said: the text of generated speech, by the recogniser of the model's speech tokenizer.

The recogniser reads codes, so no speech decoder takes part. Its own mistakes count against the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from megatron_speech.evaluation.tasks.interface import Written
from megatron_speech.speech_tokenizer.table import load_recognizer, read_facts
from megatron_speech.vocabulary import Vocabulary


def require_hearing(folder: Path | None, *, max_speech_tokens: int, key: str) -> None:
    """Raise ValueError if the speech tokenizer in `folder` cannot read speech of this length; `key` is the task's."""
    if folder is None:
        raise ValueError(f"{key}: generated speech is read by a recogniser; name {key}.speech_tokenizer")
    longest = load_recognizer(folder).max_codes
    if max_speech_tokens > longest:
        raise ValueError(
            f"{key}.max_speech_tokens={max_speech_tokens} exceeds the {longest} codes that the recogniser of {folder} "
            "reads; lower it"
        )


def recognizer_name(folder: Path) -> str:
    """The recogniser of the speech tokenizer in `folder`, for a protocol."""
    return f"of the speech tokenizer {read_facts(folder).fingerprint[:16]}"


def texts_heard(folder: Path, answers: Sequence[Written], vocabulary: Vocabulary) -> list[str]:
    """Text of each spoken answer, in order; an answer without codes is empty."""
    codes = [np.array(answer.tokens, dtype=np.int32) - vocabulary.first_speech_id for answer in answers]
    return [text.strip() for text in load_recognizer(folder).recognize(codes)]
