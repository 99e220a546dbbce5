"""The model that a person talks to, with what turns recordings into codes and codes into sound.

A question is continued as in training (`sequences.speech_tasks.continuation_prompt`). Nothing of earlier questions is
kept: every question is a document of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, get_args

from megatron_speech.audio.io import read_speech
from megatron_speech.config.stages.generate import GenerateConfig
from megatron_speech.inference.engine import GenerationEngine
from megatron_speech.inference.model import LanguageModel, loaded_model, read_vocabulary
from megatron_speech.inference.sampling import IdSet, Sampling, allowed_ids
from megatron_speech.inference.slot import AnswerSettings, Slot
from megatron_speech.sequences.speech_tasks import continuation_prompt, speech_ids
from megatron_speech.speech_decoder.interface import SpeechDecoder
from megatron_speech.speech_decoder.one_recording import require_tokenizer
from megatron_speech.speech_decoder.table import load_speech_decoder
from megatron_speech.speech_tokenizer.corpus.windows import encode_recording
from megatron_speech.speech_tokenizer.interface import SpeechTokenizer
from megatron_speech.speech_tokenizer.table import load_speech_tokenizer, read_facts
from megatron_speech.vocabulary import END_OF_AUDIO, Modality, Vocabulary

NEEDS_TOKENIZER = "needs a speech tokenizer; give its folder as speech_tokenizer"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the model continues: ids of one modality."""

    ids: Sequence[int]
    given: Modality

    @property
    def text_ids(self) -> Sequence[int]:
        """Ids before an answer in text; none after speech."""
        return self.ids if self.given == "text" else ()


@dataclass(frozen=True, kw_only=True)
class Partner:
    """A loaded model, ready to answer."""

    model: LanguageModel
    slot: Slot
    """Holds a question and its answer; the next question begins there anew."""
    allowed: Mapping[Modality, IdSet]
    """Ids of an answer in each modality."""
    tokenizer: SpeechTokenizer | None
    """Encodes recordings; None if questions are text."""
    decoder: SpeechDecoder | None
    """Turns codes into sound; None if answers are text."""
    sampling: Sampling
    config: GenerateConfig

    @classmethod
    def load(cls, config: GenerateConfig) -> Self:
        """Load what `config` names; the language model last.

        Raises FileNotFoundError or ValueError for folders that are missing, damaged or of another vocabulary.
        """
        sampling = Sampling(temperature=config.temperature, top_p=config.top_p)
        vocabulary = read_vocabulary(config.model)
        decoder = _decoder(config, vocabulary)
        tokenizer = _tokenizer(config, vocabulary)
        model, _ = loaded_model(config.model, dtype=config.dtype, device=config.device)
        return cls(
            model=model,
            slot=GenerationEngine(model, slots=1, read_tokens=model.max_positions).open(),
            allowed={modality: IdSet.of(allowed_ids(vocabulary, modality)) for modality in get_args(Modality)},
            tokenizer=tokenizer,
            decoder=decoder,
            sampling=sampling,
            config=config,
        )

    def read(self, text: str) -> Question:
        """A question in text; ValueError if it is empty."""
        ids = self.model.tokenizer.encode(text)
        if not text.strip() or not ids:
            raise ValueError(f"prompt={text!r} is empty; write a text to continue")
        return Question(ids=ids, given="text")

    def hear(self, path: Path) -> Question:
        """A recorded question. Raises FileNotFoundError or ValueError without speech in `path` or a tokenizer."""
        if self.tokenizer is None:
            raise ValueError(f"audio={path} {NEEDS_TOKENIZER}")
        codes = encode_recording(self.tokenizer, read_speech(path), name=str(path))
        return Question(ids=speech_ids(codes, vocabulary=self.model.vocabulary).tolist(), given="speech")

    def tokens(self, question: Question, asked: Modality) -> Iterator[int]:
        """Yield ids of the answer in the modality `asked`; ValueError if the model has too few positions."""
        vocabulary, limit = self.model.vocabulary, self.config.max_new_tokens
        prompt = continuation_prompt(question.ids, given=question.given, asked=asked, vocabulary=vocabulary)
        if len(prompt) + limit > self.model.max_positions:
            raise ValueError(
                f"a prompt of {len(prompt):,} tokens and max_new_tokens={limit:,} exceed the "
                f"{self.model.max_positions:,} positions of {self.config.model}; shorten the prompt, or lower "
                "max_new_tokens"
            )
        stop = vocabulary.special_id(END_OF_AUDIO) if asked == "speech" else vocabulary.end_of_document
        self.slot.rewind(0)
        self.slot.append(prompt)
        settings = AnswerSettings(
            max_new_tokens=limit,
            stop=[stop],
            seed=self.config.seed,
            sampling=self.sampling,
            allowed=self.allowed[asked],
        )
        return iter(self.slot.answer(settings))


def _tokenizer(config: GenerateConfig, vocabulary: Vocabulary) -> SpeechTokenizer | None:
    folder = config.speech_tokenizer
    if folder is None:
        return None
    made = read_facts(folder).fingerprint
    if made != vocabulary.speech_fingerprint:
        raise ValueError(
            f"speech_tokenizer={folder}: its fingerprint {made[:12]} is not that of {config.model}, "
            f"{vocabulary.speech_fingerprint[:12] or 'none'}; give the tokenizer that the model was trained with"
        )
    return load_speech_tokenizer(folder)


def _decoder(config: GenerateConfig, vocabulary: Vocabulary) -> SpeechDecoder | None:
    if config.speech_decoder is None or config.vocoder is None:
        return None
    decoder = load_speech_decoder(config.speech_decoder, config.vocoder)
    require_tokenizer(decoder, vocabulary.speech_fingerprint, holder=str(config.model))
    return decoder
