"""Speech synthesis: the model says a text, after the task token that it was trained with, and a recogniser reads it.

    <|synthesize|> text <|begin_of_audio|>  ->  codes <|end_of_audio|>

The recogniser of the speech tokenizer reads the codes, so its mistakes count as well. The voice is the model's: nothing
of the prompt of a voice is used, and how a voice sounds is not scored. Rates and reasons are those of `error_rates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.items import Item, SayItem, TranscriptItem
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
from megatron_speech.evaluation.tasks.generation import (
    require_positive,
    require_sampling,
    seed_of,
    speech_decoding,
    speech_settings,
)
from megatron_speech.evaluation.tasks.hearing import recognizer_name, require_hearing, texts_heard
from megatron_speech.evaluation.tasks.interface import Prompt, Record, Scorer, ScoringProtocol, Written
from megatron_speech.evaluation.tasks.likelihood import SpokenText
from megatron_speech.evaluation.tasks.spoken_items import passage_encoder
from megatron_speech.inference.sampling import Sampling
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.sequences.speech_tasks import synthesis_prompt
from megatron_speech.vocabulary import Vocabulary

KEY = "tasks.synthesis"
PAIR = "text->speech"


@dataclass(frozen=True, kw_only=True)
class SynthesisTask:
    """All texts of `sets`: those to say, and transcripts of recordings."""

    sets: dict[str, DataSetConfig]
    """Data sets of texts to say, or of recordings with transcripts, by the name under which they are reported."""
    speech_tokenizer: Path
    """Folder of the model's speech tokenizer, with its recogniser."""
    language: ScriptLanguage = "en"
    """Language of the texts: en or zh. It decides the normaliser."""
    max_speech_tokens: int = 300
    """Largest number of tokens of speech; 300 at 12.5 per second are 24 s."""
    temperature: float = 0.8
    """Temperature of sampling; 0 is greedy."""
    top_p: float = 0.95
    """Nucleus (top-p) of sampling."""
    seed: int = 0
    """Seed of sampling."""
    max_items: int | None = None
    """Use only the first max_items items of each set; null uses all."""
    batch_size: int = 16
    """Texts that are said at a time. No answer depends on it."""
    lists_records: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_language(self.language, key=KEY)
        require_positive(KEY, max_speech_tokens=self.max_speech_tokens, max_items=self.max_items)
        require_positive(KEY, batch_size=self.batch_size)
        require_sampling(KEY, temperature=self.temperature, top_p=self.top_p)

    @property
    def inputs(self) -> list[Path]:
        """See `GenerationTask`, as for the methods below."""
        return [self.speech_tokenizer, *(data_set.folder for data_set in self.sets.values())]

    @property
    def sampling(self) -> Sampling:
        """How speech is sampled."""
        return Sampling(temperature=self.temperature, top_p=self.top_p)

    def protocol(self, items: Sequence[Line]) -> ScoringProtocol:
        """Its prompt is the hash of all lines."""
        return ScoringProtocol(
            template="as synthesis documents",
            score="word and character error rates",
            prompt=prompt_hash(items),
            decoding=speech_decoding(self.max_speech_tokens, self.sampling, seed=self.seed),
            normalizer=NORMALIZER[self.language],
            recognizer=recognizer_name(self.speech_tokenizer),
        )

    def items(self, vocabulary: Vocabulary) -> list[Line]:
        """Texts to say. Raises ValueError that names a defective file or setting."""
        passage_encoder(self.speech_tokenizer, None, vocabulary, key=f"{KEY}.speech_tokenizer")
        require_hearing(self.speech_tokenizer, max_speech_tokens=self.max_speech_tokens, key=KEY)
        return read_lines(self.sets, self.max_items, _line)

    def prompts(self, items: Sequence[Line], model: Scorer) -> Iterator[tuple[str, list[Prompt]]]:
        """One group."""
        settings = speech_settings(model, max_new_tokens=self.max_speech_tokens, sampling=self.sampling)
        asked = [line for line in items if line.defect is None]
        ids = [model.tokenizer.encode(line.spoken.text) for line in asked]
        prompts = [synthesis_prompt(each, vocabulary=model.vocabulary).tolist() for each in ids]
        seeds = [seed_of(self.seed, line.data_set, line.id) for line in asked]
        yield PAIR, [(prompt, replace(settings, seed=seed)) for prompt, seed in zip(prompts, seeds, strict=True)]

    def records(self, items: Sequence[Line], answers: Mapping[str, Sequence[Written]], model: Scorer) -> list[Record]:
        """One record per text, with its edits."""
        said = answers[PAIR]
        heard = texts_heard(self.speech_tokenizer, said, model.vocabulary)
        return line_records(items, zip(said, heard, strict=True), pair=PAIR, language=self.language)

    def results(self, items: Sequence[Line], records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
        """Error rates by set."""
        return rates_by_set(list(self.sets), records, bootstrap, language=self.language)


def _line(name: str, item: Item) -> Line:
    text = item.text if isinstance(item, SayItem) else item.speech.text if isinstance(item, TranscriptItem) else None
    if text is None:
        raise ValueError(f"{KEY}.sets.{name}: item {item.id!r} is no text to say; name another layout")
    defect = None if text.strip() else "no text"
    return Line(data_set=name, id=item.id, subset=item.subset, spoken=SpokenText(text.strip()), defect=defect)
