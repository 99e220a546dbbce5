"""Speech recognition: the model writes what a recording says, after the task token that it was trained with.

    <|recognize|> <|begin_of_audio|> codes <|end_of_audio|>  ->  text

Text is decoded greedily. Rates and reasons are those of `error_rates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.encoding import PassageEncoder
from megatron_speech.evaluation.data_sets.items import Item, TranscriptItem
from megatron_speech.evaluation.scripts import ScriptLanguage
from megatron_speech.evaluation.tasks.error_rates import (
    NORMALIZER,
    Line,
    line_records,
    prompt_hash,
    rates_by_set,
    read_lines,
    require_language,
)
from megatron_speech.evaluation.tasks.generation import require_positive, text_decoding, text_settings
from megatron_speech.evaluation.tasks.interface import Prompt, Record, Scorer, ScoringProtocol, Written
from megatron_speech.evaluation.tasks.spoken_items import passage_encoder, passage_of
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.sequences.speech_tasks import recognition_prompt
from megatron_speech.vocabulary import Vocabulary

KEY = "tasks.recognition"
PAIR = "speech->text"


@dataclass(frozen=True, kw_only=True)
class RecognitionTask:
    """All recordings of `sets`."""

    sets: dict[str, DataSetConfig]
    """Data sets of recordings with transcripts, by the name under which they are reported."""
    speech_tokenizer: Path
    """Folder of the model's speech tokenizer."""
    cache: Path | None = None
    """Folder that keeps the codes of recordings; null encodes them anew."""
    language: ScriptLanguage = "en"
    """Language of the transcripts: en or zh. It decides the normaliser."""
    max_text_tokens: int = 200
    """Largest number of tokens of an answer."""
    max_items: int | None = None
    """Use only the first max_items items of each set; null uses all."""
    batch_size: int = 16
    """Answers that are written at a time. No answer depends on it."""
    lists_records: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_language(self.language, key=KEY)
        require_positive(KEY, max_text_tokens=self.max_text_tokens, max_items=self.max_items)
        require_positive(KEY, batch_size=self.batch_size)

    @property
    def inputs(self) -> list[Path]:
        """See `GenerationTask`, as for the methods below."""
        return [self.speech_tokenizer, *(data_set.folder for data_set in self.sets.values())]

    def protocol(self, items: Sequence[Line]) -> ScoringProtocol:
        """Its prompt is the hash of all lines."""
        return ScoringProtocol(
            template="as recognition documents",
            score="word and character error rates",
            prompt=prompt_hash(items),
            decoding=text_decoding(self.max_text_tokens),
            normalizer=NORMALIZER[self.language],
        )

    def items(self, vocabulary: Vocabulary) -> list[Line]:
        """Recordings as codes. Raises ValueError that names a defective file or setting."""
        encoder = passage_encoder(self.speech_tokenizer, self.cache, vocabulary, key=f"{KEY}.speech_tokenizer")
        return read_lines(self.sets, self.max_items, lambda name, item: _line(name, item, encoder))

    def prompts(self, items: Sequence[Line], model: Scorer) -> Iterator[tuple[str, list[Prompt]]]:
        """One group."""
        settings = text_settings(model, max_new_tokens=self.max_text_tokens)
        codes = [line.spoken.codes for line in items if line.defect is None and line.spoken.codes is not None]
        prompts = (recognition_prompt(each, vocabulary=model.vocabulary).tolist() for each in codes)
        yield PAIR, [(prompt, settings) for prompt in prompts]

    def records(self, items: Sequence[Line], answers: Mapping[str, Sequence[Written]], model: Scorer) -> list[Record]:
        """One record per recording, with its edits."""
        texts = ((answer, model.tokenizer.decode(answer.tokens).strip()) for answer in answers[PAIR])
        return line_records(items, texts, pair=PAIR, language=self.language)

    def results(self, items: Sequence[Line], records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
        """Error rates by set."""
        return rates_by_set(list(self.sets), records, bootstrap, language=self.language)


def _line(name: str, item: Item, encoder: PassageEncoder | None) -> Line:
    if not isinstance(item, TranscriptItem):
        raise ValueError(f"{KEY}.sets.{name}: item {item.id!r} is no recording to recognise; name another layout")
    spoken, defect = passage_of(item.speech, encoder, name=name, key=KEY)
    assert spoken.codes is not None or defect, f"{item.id} has a recording or a defect"
    return Line(data_set=name, id=item.id, subset=item.subset, spoken=spoken, defect=defect)
