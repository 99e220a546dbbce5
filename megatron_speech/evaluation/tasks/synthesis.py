"""Speech synthesis: the model says a text, after the task token that it was trained with, and a recogniser reads it.

    <|synthesize|> text <|begin_of_audio|>  ->  codes <|end_of_audio|>

The recogniser of the speech tokenizer reads the codes, so its mistakes count as well. With `sound`, Whisper reads what
a speech decoder makes of them, and DNSMOS rates it. A speaker encoder compares its voice with that of the item's
prompt, of which the model is given nothing: it speaks in a voice of its own. Rates and reasons are those of
`error_rates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from megatron_speech.evaluation.data_sets.items import EncodedRecording, Item, SayItem, TranscriptItem
from megatron_speech.evaluation.tasks.error_rates import (
    NORMALIZER,
    Line,
    line_records,
    prompt_hash,
    rates_by_set,
)
from megatron_speech.evaluation.tasks.generation import (
    seed_of,
    speech_decoding,
    speech_settings,
)
from megatron_speech.evaluation.tasks.hearing import read_speech, recognizer_name, require_hearing, sound_name
from megatron_speech.evaluation.tasks.interface import Prompt, Record, Scorer, ScoringProtocol, Written
from megatron_speech.evaluation.tasks.likelihood import SpokenText
from megatron_speech.evaluation.tasks.settings import SpeakingSettings
from megatron_speech.evaluation.tasks.spoken_items import passage_encoder
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.sequences.speech_tasks import synthesis_prompt
from megatron_speech.vocabulary import Vocabulary

PAIR = "text->speech"


@dataclass(frozen=True, kw_only=True)
class SynthesisTask(SpeakingSettings):
    """All texts of `sets`: those to say, and transcripts of recordings. Their language decides the normaliser."""

    speech_tokenizer: Path = field()
    """Folder of the model's speech tokenizer, with its recogniser."""
    max_speech_tokens: int = 300
    """Largest number of tokens of speech; 300 at 12.5 per second are 24 s."""
    key: ClassVar[str] = "tasks.synthesis"

    def protocol(self, items: Sequence[Line]) -> ScoringProtocol:
        """See `GenerationTask`, as for the methods below. Its prompt is the hash of all lines."""
        return ScoringProtocol(
            template="as synthesis documents",
            score="word and character error rates",
            prompt=prompt_hash(items),
            decoding=speech_decoding(self.max_speech_tokens, self.sampling, seed=self.seed),
            normalizer=NORMALIZER[self.language],
            recognizer=recognizer_name(self),
            sound=sound_name(self.sound),
        )

    def items(self, vocabulary: Vocabulary) -> list[Line]:
        """Texts to say. Raises ValueError that names a defective file or setting."""
        passage_encoder(self.speech_tokenizer, None, vocabulary, key=f"{self.key}.speech_tokenizer")
        require_hearing(self, vocabulary, max_speech_tokens=self.max_speech_tokens)
        compared = self.sound is not None and self.sound.speaker_encoder is not None
        return [_line(name, item, compared=compared) for name, item in self.read()]

    def prompts(self, items: Sequence[Line], model: Scorer) -> Iterator[tuple[str, list[Prompt]]]:
        """One group."""
        settings = speech_settings(model, max_new_tokens=self.max_speech_tokens, sampling=self.sampling)
        asked = [line for line in items if line.defect is None]
        ids = [model.tokenizer.encode(line.spoken.text) for line in asked]
        prompts = [synthesis_prompt(each, vocabulary=model.vocabulary).tolist() for each in ids]
        seeds = [seed_of(self.seed, line.data_set, line.id) for line in asked]
        yield PAIR, [(prompt, replace(settings, seed=seed)) for prompt, seed in zip(prompts, seeds, strict=True)]

    def records(self, items: Sequence[Line], answers: Mapping[str, Sequence[Written]], model: Scorer) -> list[Record]:
        """One record per text and recogniser, with its edits."""
        first = model.vocabulary.first_speech_id
        codes = [np.array(answer.tokens, dtype=np.int32) - first for answer in answers[PAIR]]
        voices = [line.voice for line in items if line.defect is None]
        return [
            record
            for heard in read_speech(self, codes, pair=PAIR, voices=voices)
            for record in line_records(
                items,
                zip(answers[PAIR], heard.texts, heard.notes, strict=True),
                pair=heard.pair,
                language=self.language,
            )
        ]

    def results(self, items: Sequence[Line], records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
        """Error rates by set."""
        return rates_by_set(list(self.sets), records, bootstrap, language=self.language)


def _line(name: str, item: Item, *, compared: bool) -> Line:
    text = item.text if isinstance(item, SayItem) else item.speech.text if isinstance(item, TranscriptItem) else None
    if text is None:
        raise ValueError(f"{SynthesisTask.key}.sets.{name}: item {item.id!r} is no text to say; name another layout")
    defect = None if text.strip() else "no text"
    voice = item.prompt.recording if compared and isinstance(item, SayItem) and not item.prompt.defect else None
    assert not isinstance(voice, EncodedRecording), "prompts are recordings"
    spoken = SpokenText(text.strip())
    return Line(data_set=name, id=item.id, subset=item.subset, spoken=spoken, defect=defect, voice=voice)
