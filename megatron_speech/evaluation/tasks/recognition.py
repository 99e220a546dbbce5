"""Speech recognition: the model writes what a recording says, after the task token that it was trained with.

    <|recognize|> <|begin_of_audio|> codes <|end_of_audio|>  ->  text

Text is decoded greedily. Rates and reasons are those of `error_rates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from megatron_speech.evaluation.data_sets.encoding import PassageEncoder
from megatron_speech.evaluation.data_sets.items import Item, TranscriptItem
from megatron_speech.evaluation.tasks.error_rates import (
    NORMALIZER,
    Line,
    line_records,
    prompt_hash,
    rates_by_set,
)
from megatron_speech.evaluation.tasks.generation import text_decoding, text_settings
from megatron_speech.evaluation.tasks.interface import Prompt, Record, Scorer, ScoringProtocol, Written
from megatron_speech.evaluation.tasks.settings import AnsweringSettings, RecordingSettings, require_positive
from megatron_speech.evaluation.tasks.spoken_items import passage_of
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.sequences.speech_tasks import recognition_prompt
from megatron_speech.vocabulary import Vocabulary

PAIR = "speech->text"


@dataclass(frozen=True, kw_only=True)
class RecognitionTask(RecordingSettings, AnsweringSettings):
    """All recordings of `sets`; the language of the transcripts decides the normaliser."""

    speech_tokenizer: Path = field()
    """Folder of the model's speech tokenizer."""
    max_text_tokens: int = 200
    """Largest number of tokens of an answer."""
    key: ClassVar[str] = "tasks.recognition"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self.key, max_text_tokens=self.max_text_tokens)

    def protocol(self, items: Sequence[Line]) -> ScoringProtocol:
        """See `GenerationTask`, as for the methods below. Its prompt is the hash of all lines."""
        return ScoringProtocol(
            template="as recognition documents",
            score="word and character error rates",
            prompt=prompt_hash(items),
            decoding=text_decoding(self.max_text_tokens),
            normalizer=NORMALIZER[self.language],
        )

    def items(self, vocabulary: Vocabulary) -> list[Line]:
        """Recordings as codes. Raises ValueError that names a defective file or setting."""
        encoder = self.encoder(vocabulary)
        return [_line(name, item, encoder) for name, item in self.read()]

    def prompts(self, items: Sequence[Line], model: Scorer) -> Iterator[tuple[str, list[Prompt]]]:
        """One group."""
        settings = text_settings(model, max_new_tokens=self.max_text_tokens)
        codes = [line.spoken.codes for line in items if line.defect is None and line.spoken.codes is not None]
        prompts = (recognition_prompt(each, vocabulary=model.vocabulary).tolist() for each in codes)
        yield PAIR, [(prompt, settings) for prompt in prompts]

    def records(self, items: Sequence[Line], answers: Mapping[str, Sequence[Written]], model: Scorer) -> list[Record]:
        """One record per recording, with its edits."""
        notes: Record = {}
        texts = ((answer, model.tokenizer.decode(answer.tokens).strip(), notes) for answer in answers[PAIR])
        return line_records(items, texts, pair=PAIR, language=self.language)

    def results(self, items: Sequence[Line], records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
        """Error rates by set."""
        return rates_by_set(list(self.sets), records, bootstrap, language=self.language)


def _line(name: str, item: Item, encoder: PassageEncoder | None) -> Line:
    key = RecognitionTask.key
    if not isinstance(item, TranscriptItem):
        raise ValueError(f"{key}.sets.{name}: item {item.id!r} is no recording to recognise; name another layout")
    spoken, defect = passage_of(item.speech, encoder, name=name, key=key)
    assert spoken.codes is not None or defect, f"{item.id} has a recording or a defect"
    return Line(data_set=name, id=item.id, subset=item.subset, spoken=spoken, defect=defect)
