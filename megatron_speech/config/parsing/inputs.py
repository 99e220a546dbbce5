"""Says in the settings what a key reads: an existing file, or a folder of certain kinds.

A setting of the type `CodesFolder` is a `Path`. Its annotation lets `artifacts.inputs` refuse a folder of another
stage, naming the key, before any slow import.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from megatron_speech.config.parsing.build import alternatives


@dataclass(frozen=True)
class Takes:
    """What a key reads."""

    kinds: tuple[str, ...] = ()
    """Kinds of folders, by their names in `artifacts.kinds`; none for any folder, or for a file."""
    what: str = ""
    """What these kinds have in common, if there are several."""
    file: str = ""
    """What the file is, if the key reads a file."""
    may_lack: bool = False
    """Whether the path need not exist: the command says itself what it then leaves out."""
    word: str = ""
    """Value that is no path."""


_DOCUMENTS = (
    *("documents", "documents_recognition", "documents_synthesis", "documents_text_to_token"),
    "interleaved",
)
_WHISPER, _VOCODER = Takes(("whisper",)), Takes(("vocoder",))

AnyFolder = Annotated[Path, Takes()]
OptionalFolder = Annotated[Path, Takes(may_lack=True)]
AssetsFolder = Annotated[Path, Takes(("assets",))]
AudioFolder = Annotated[Path, Takes(("audio",))]
CodesFolder = Annotated[Path, Takes(("speech_codes",))]
DocumentsFolder = Annotated[Path, Takes(_DOCUMENTS, what="documents")]
RowsFolder = Annotated[Path, Takes(("packed",))]
ShardsFolder = Annotated[Path, Takes((*_DOCUMENTS, "packed", "speech_codes"), what="token shards")]
VocabularyFolder = Annotated[Path, Takes(("vocabulary", "hugging_face"))]
TextModelFolder = Annotated[Path, Takes(("text_model", "hugging_face"))]
ModelFolder = Annotated[Path, Takes(("hugging_face",))]
EvaluatedFolder = Annotated[Path, Takes(("hugging_face", "run", "checkpoint"))]
BaseFolder = Annotated[str, Takes(("checkpoint",), may_lack=True, word="scratch")]
CheckpointFolder = Annotated[Path, Takes(("run", "checkpoint"), what="a training run or a checkpoint")]
WhisperFolder = Annotated[Path, _WHISPER]
OptionalWhisperFolder = Annotated[Path, replace(_WHISPER, may_lack=True)]
WhisperOrTokenizerFolder = Annotated[Path, Takes(("whisper", "speech_tokenizer"))]
SpeechTokenizerFolder = Annotated[Path, Takes(("speech_tokenizer",))]
SpeechDecoderFolder = Annotated[Path, Takes(("speech_decoder",))]
VocoderFolder = Annotated[Path, _VOCODER]
OptionalVocoderFolder = Annotated[Path, replace(_VOCODER, may_lack=True)]
EvaluationFolder = Annotated[Path, Takes(("evaluation",))]
ContaminationFolder = Annotated[Path, Takes(("contamination",))]
SamplesFolder = Annotated[Path, Takes(("samples",))]
CorpusFolder = Annotated[Path, Takes(("corpus", "facts"))]

SoundFile = Annotated[Path, Takes(file="a sound file")]
CodesFile = Annotated[Path, Takes(file="a JSON file of megatron-speech encode")]
ItemsFile = Annotated[Path, Takes(file="a JSON lines file")]
MarkdownFile = Annotated[Path, Takes(file="a Markdown file")]
OnnxFile = Annotated[Path, Takes(file="an ONNX file", may_lack=True)]


def named_inputs(section: Any, prefix: str = "") -> Iterator[tuple[str, str, Takes]]:
    """Yield (key, value, what it takes) for every setting of `section` that names something to read."""
    hints = typing.get_type_hints(type(section), include_extras=True)
    for field in dataclasses.fields(section):
        yield from _inputs_in(hints[field.name], getattr(section, field.name), f"{prefix}{field.name}")


def _inputs_in(kind: Any, value: Any, key: str) -> Iterator[tuple[str, str, Takes]]:
    if dataclasses.is_dataclass(value):
        yield from named_inputs(value, f"{key}.")
    elif isinstance(value, Mapping | list | tuple):
        entries = value.items() if isinstance(value, Mapping) else enumerate(value)
        shape = "{}.{}" if isinstance(value, Mapping) else "{}[{}]"
        for name, entry in entries:
            yield from _inputs_in(_entry_type(kind, type(value)), entry, shape.format(key, name))
    elif value is not None and (takes := takes_of(kind)):
        yield key, str(value), takes


def takes_of(kind: Any) -> Takes | None:
    """What a setting of type `kind` reads, if its annotation says so."""
    marks = [mark for each in alternatives(kind) for mark in getattr(each, "__metadata__", ())]
    return next((mark for mark in marks if isinstance(mark, Takes)), None)


def _entry_type(kind: Any, container: type) -> Any:
    """Type of the entries, where `kind` may be a `container`."""
    found = [each for each in alternatives(kind) if typing.get_origin(each) is container]
    return next((arg for each in found for arg in reversed(typing.get_args(each)) if arg is not ...), Any)
