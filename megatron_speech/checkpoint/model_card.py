"""Writes ``README.md`` of an export: origin and licences of the model, its training, and how to load it.

Everything is read from files that belong to the model: its vocabulary, its checkpoint and the run folder around that.
The card says "not recorded" for anything that these files lack; nothing is guessed.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from huggingface_hub import ModelCardData

from megatron_speech.artifacts.facts.checkpoint import SCRATCH, BaseFacts, ExportFacts, SourceTerms
from megatron_speech.artifacts.facts.training import HeldOutLosses
from megatron_speech.artifacts.facts.vocabulary import NamedTokenizerFacts, TokenizersFacts
from megatron_speech.artifacts.manifest import MANIFEST, UNRECORDED, read_facts
from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.origin import origin_of, run_folder_of
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, Vocabulary

logger = logging.getLogger(__name__)

_VALIDATION = "validation.jsonl"  # of a run folder
_NOT_RECORDED = "not recorded"


def tokenizer_facts(vocabulary_folder: Path) -> TokenizersFacts:
    """Facts about text and speech tokenizer from the manifest of a vocabulary folder, or of an export used as one.

    Raises ValueError if the manifest is damaged.
    """
    if not (vocabulary_folder / MANIFEST).is_file():
        return TokenizersFacts()
    try:
        told = read_facts(vocabulary_folder, TokenizersFacts)
    except ValueError as error:
        raise ValueError(
            f"{vocabulary_folder / MANIFEST} is damaged: it does not say text_tokenizer and speech_tokenizer; "
            "restore it from a copy, or build the vocabulary again"
        ) from error
    known = told.speech_tokenizer if told.speech_tokenizer != NamedTokenizerFacts() else None
    return replace(told, text_tokenizer=told.text_tokenizer or None, speech_tokenizer=known)


def model_card(name: str, *, facts: ExportFacts, vocabulary: Vocabulary, checkpoint: Path) -> str:
    """The text of an export's card; ValueError if a file that it is made from is damaged.

    Args:
        name: name of the export.
        facts: facts of the export's manifest.
        vocabulary: vocabulary of the export.
        checkpoint: folder that is exported.
    """
    origin = origin_of(checkpoint)
    parts = [
        _front_matter(origin.base or SCRATCH, origin.sources),
        f"# {name}\n\n{_origin(origin.base, facts)}",
        f"## Training\n\n{_training(checkpoint, origin.sources)}",
        f"## Tokens\n\n{_tokens(vocabulary, facts)}",
        f"## How to load it\n\n{_how_to_load(name, vocabulary)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(base: BaseFacts, sources: dict[str, SourceTerms]) -> str:
    """YAML metadata for model hubs. The licence is the base model's; licences of data are listed in the text."""
    licences = base.license or [licence.lower() for licence in base.licences or ()]
    languages = [language for source in sources.values() for language in source.languages]
    data = ModelCardData(
        license=licences[0] if len(licences) == 1 else "other" if licences else "unknown",
        license_name=" ".join(base.license_name or ()) or None,
        license_link=" ".join(base.license_link or ()) or None,
        base_model=base.name,
        language=list(dict.fromkeys([*(base.language or ()), *languages])) or None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["speech", "megatron-speech"],
    )
    return f"---\n{data.to_yaml()}\n---"


def _origin(base: BaseFacts | None, facts: ExportFacts) -> str:
    """Sentences about the model's family, size, base and licence."""
    model = f"A {facts.family} decoder of {facts.parameters:,} parameters that reads and writes text and speech"
    if base is None:
        return f"{model} tokens. Base model and its licence: {_NOT_RECORDED}."
    if base == SCRATCH:
        return (
            f"{model} tokens, trained by megatron_speech from random weights. Its licence is unknown: whoever "
            "publishes it chooses one, with a view to the licences of its data."
        )
    terms = ", ".join(base.license or base.licences or [f"{_NOT_RECORDED}, ask its publisher"])
    before = f" (itself made from {', '.join(base.base_model)})" if base.base_model else ""
    return (
        f"{model} tokens, made by megatron_speech from **{base.name}**{before}. Licence of the base: {terms}.\n"
        "Files named LICENSE or NOTICE beside this one are the base's."
    )


def _training(checkpoint: Path, sources: dict[str, SourceTerms]) -> str:
    """Section about steps, tokens, data and held-out losses."""
    state = folders.read_state(checkpoint)
    if not state.step:
        return "None yet: rows of new tokens are drawn from the distribution of the old ones."
    trained = {"text tokens": state.text_tokens, "speech tokens": state.speech_tokens}
    counts = [f"{count:,} {name}" for name, count in trained.items() if count is not None]
    lines = [f"{state.step:,} steps; tokens that bore loss: {', '.join(counts) or _NOT_RECORDED}.\n"]
    lines += (
        ["| data | task | licences of all it was made from | languages |\n|---|---|---|---|"]
        if sources
        else [f"Data: {_NOT_RECORDED}."]
    )
    for name, source in sources.items():
        languages = ", ".join(source.languages) or _NOT_RECORDED
        lines.append(f"| {name} | {source.task} | {_terms(source.licences)} | {languages} |")
    held_out = list(_held_out(checkpoint, state.step))
    lines += ["\n| held-out data | step | loss, nats per token |\n|---|---|---|", *held_out] if held_out else []
    return "\n".join(lines)


def _terms(licences: Sequence[str]) -> str:
    """Licences of all that some data were made from; "not recorded" concerns a part of it where others are known."""
    known = [licence for licence in licences if licence != UNRECORDED]
    if known and len(known) < len(licences):
        return f"{', '.join(known)}; that of a part {_NOT_RECORDED}"
    return ", ".join(licences) or _NOT_RECORDED


def _held_out(checkpoint: Path, step: int) -> Iterator[str]:
    """Rows of the table of held-out losses: the newest ones up to `step`."""
    run = run_folder_of(checkpoint)
    if run is None or not (run / _VALIDATION).is_file():
        return
    last: HeldOutLosses | None = None
    left_out = 0
    for line in filter(None, (run / _VALIDATION).read_text(errors="replace").splitlines()):
        record = _record(line)
        left_out += record is None
        if record is not None and record.step <= step:
            last = record
    if left_out:
        logger.warning(
            "%s: %d lines have no held-out losses, or one that is not finite; the card leaves them out",
            *(run / _VALIDATION, left_out),
        )
    if last is None:
        return
    for name, losses in last.losses.items():
        for modality, loss in losses.items():
            yield f"| {name}, {modality} | {last.step:,} | {loss:.3f} |"


def _record(line: str) -> HeldOutLosses | None:
    """The losses in a line of validation.jsonl; None if the line is damaged or a loss is not finite."""
    try:
        record = HeldOutLosses.from_json(json.loads(line))
    except (ValueError, RecursionError):
        return None
    finite = all(math.isfinite(loss) for losses in record.losses.values() for loss in losses.values())
    return record if finite and type(record.step) is int else None


def _tokens(vocabulary: Vocabulary, facts: ExportFacts) -> str:
    """Table of id ranges and their meaning."""
    text = facts.text_tokenizer or _NOT_RECORDED
    rows = {f"0 to {vocabulary.num_text_ids - 1:,}": f"text tokenizer: {text}"} if vocabulary.num_text_ids else {}
    rows |= {f"{vocabulary.special_id(token):,}": _code(token) for token in vocabulary.special_tokens}
    if speech := vocabulary.speech_ids:
        tokenizer = facts.speech_tokenizer or NamedTokenizerFacts()
        name = f"{tokenizer.name or _NOT_RECORDED}, fingerprint {vocabulary.speech_fingerprint[:12] or 'none'}"
        rate = f"rate {_NOT_RECORDED}" if tokenizer.frame_rate is None else f"{tokenizer.frame_rate:g} per second"
        codes = " to ".join(_code(vocabulary.speech_token(code)) for code in (0, len(speech) - 1))
        what = f"{codes}: {len(speech):,} codes of the speech tokenizer ({name}; {rate})"
        rows[f"{speech.start:,} to {speech.stop - 1:,}"] = what
    return "\n".join(["| ids | what |", "|---|---|", *(f"| {ids} | {what} |" for ids, what in rows.items())])


def _code(token: str) -> str:
    """A token as code in a Markdown table, with escaped bars."""
    return f"`{token}`".replace("|", "\\|")


def _how_to_load(name: str, vocabulary: Vocabulary) -> str:
    """Example code that works in the folder above the export."""
    speech = vocabulary.speech_ids
    first, end = speech.start, speech.stop
    code = f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({name!r})
model = AutoModelForCausalLM.from_pretrained({name!r}, dtype="auto")
ids = tokenizer({f"Hello{BEGIN_OF_AUDIO}" if speech else "Hello"!r}, return_tensors="pt").input_ids
written = model.generate(ids, max_new_tokens=50)[0].tolist()
print(tokenizer.decode(written))"""
    if not speech:
        return f"{code}\n```"
    return f"""{code}
codes = [token - {first} for token in written if {first} <= token < {end}]
```

Speech tokens are special tokens: `tokenizer.decode(..., skip_special_tokens=True)` removes them from the text. Read
codes from the ids, as above. They become sound by a decoder of the same speech tokenizer only."""
