"""``README.md`` of an export: what the model was made from, under which terms, how far it was trained, how to load it.

Everything is read from what travels with the model: its vocabulary, the state in its checkpoint, the run folder around
that. What is not recorded is said to be so; nothing is guessed.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from megatron_speech.artifacts.manifest import MANIFEST, read_manifest
from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.origin import origin_of, run_folder_of
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, Vocabulary

logger = logging.getLogger(__name__)

_VALIDATION = "validation.jsonl"  # of a run folder
_NOT_RECORDED = "not recorded"
Sources = dict[str, dict[str, Any]]


def tokenizer_facts(vocabulary_folder: Path) -> dict[str, Any]:
    """What the manifest of a vocabulary folder, or of an export that serves as one, says of its two tokenizers.

    ValueError where it says it in another form.
    """
    facts = read_manifest(vocabulary_folder)["facts"] if (vocabulary_folder / MANIFEST).is_file() else {}
    told = facts if isinstance(facts, dict) else {}
    speech = told.get("speech_tokenizer") or {}
    rate = speech.get("frame_rate", 0) if isinstance(speech, dict) else None
    if not isinstance(told.get("text_tokenizer", ""), str) or not isinstance(rate, int | float) or facts is not told:
        raise ValueError(
            f"{vocabulary_folder / MANIFEST} is damaged: it does not say text_tokenizer and speech_tokenizer; "
            "restore it from a copy, or build the vocabulary again"
        )
    return {key: told[key] for key in ("text_tokenizer", "speech_tokenizer") if told.get(key)}


def model_card(name: str, *, facts: dict[str, Any], vocabulary: Vocabulary, checkpoint: Path) -> str:
    """The card of an export; ValueError where a file that it is made from is damaged.

    Args:
        name: the name of the export.
        facts: those of its manifest: family, parameters, `tokenizer_facts`.
    """
    origin = origin_of(checkpoint)
    parts = [
        _front_matter(origin["base"] or {}, origin["sources"]),
        f"# {name}\n\n{_origin(origin['base'], facts)}",
        f"## Training\n\n{_training(checkpoint, origin['sources'])}",
        f"## Tokens\n\n{_tokens(vocabulary, facts)}",
        f"## How to load it\n\n{_how_to_load(name, vocabulary)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(base: dict[str, Any], sources: Sources) -> str:
    """Metadata as model hubs read it. The licence is the base's own: those of the data stand in the text."""
    licences = base.get("license") or [licence.lower() for licence in base.get("licences", [])]
    languages = [language for source in sources.values() for language in source["languages"]]
    data = ModelCardData(
        license=licences[0] if len(licences) == 1 else "other" if licences else "unknown",
        license_name=" ".join(base.get("license_name", [])) or None,
        license_link=" ".join(base.get("license_link", [])) or None,
        base_model=base.get("name"),
        language=list(dict.fromkeys([*base.get("language", []), *languages])) or None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["speech", "megatron-speech"],
    )
    return f"---\n{data.to_yaml()}\n---"


def _origin(base: dict[str, Any] | None, facts: dict[str, Any]) -> str:
    """What the model is, and whose licence holds."""
    model = f"A {facts['family']} decoder of {facts['parameters']:,} parameters that reads and writes text and speech"
    if base is None:
        return f"{model} tokens. Base model and its licence: {_NOT_RECORDED}."
    if not base:
        return f"{model} tokens, trained by megatron_speech from random weights."
    terms = ", ".join(base.get("license") or base.get("licences") or [f"{_NOT_RECORDED}, ask its publisher"])
    before = f" (itself made from {', '.join(base['base_model'])})" if "base_model" in base else ""
    return (
        f"{model} tokens, made by megatron_speech from **{base['name']}**{before}. Licence of the base: {terms}.\n"
        "Files named LICENSE or NOTICE beside this one are the base's."
    )


def _training(checkpoint: Path, sources: Sources) -> str:
    """Steps, tokens, data and held-out losses."""
    state = folders.read_state(checkpoint)
    if not state.get("step"):
        return "None yet: rows of new tokens are drawn from the distribution of the old ones."
    counts = [f"{state[key]:,} {key.replace('_', ' ')}" for key in ("text_tokens", "speech_tokens") if key in state]
    lines = [f"{state['step']:,} steps; tokens that bore loss: {', '.join(counts) or _NOT_RECORDED}.\n"]
    lines += (
        ["| data | task | licences of all it was made from | languages |\n|---|---|---|---|"]
        if sources
        else [f"Data: {_NOT_RECORDED}."]
    )
    for name, source in sources.items():
        terms = (", ".join(source[key]) or _NOT_RECORDED for key in ("licences", "languages"))
        lines.append(f"| {name} | {source['task']} | {' | '.join(terms)} |")
    held_out = list(_held_out(checkpoint, state["step"]))
    lines += ["\n| held-out data | step | loss, nats per token |\n|---|---|---|", *held_out] if held_out else []
    return "\n".join(lines)


def _held_out(checkpoint: Path, step: int) -> Iterator[str]:
    """Rows of the table of held-out losses: the last ones until `step`."""
    run = run_folder_of(checkpoint)
    if run is None or not (run / _VALIDATION).is_file():
        return
    last: dict[str, Any] = {"losses": {}}
    left_out = 0
    for line in filter(None, (run / _VALIDATION).read_text(errors="replace").splitlines()):
        record = _record(line)
        left_out += record is None
        if record is not None and record["step"] <= step:
            last = record
    if left_out:
        logger.warning(
            "%s: %d lines are no held-out losses, or have one that is no finite number; the card leaves them out",
            *(run / _VALIDATION, left_out),
        )
    for name, losses in last["losses"].items():
        for modality, loss in losses.items():
            yield f"| {name}, {modality} | {last['step']:,} | {loss:.3f} |"


def _record(line: str) -> dict[str, Any] | None:
    """A line of held-out losses, {"step": n, "losses": {source: {modality: loss}}}; None for any other."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if (
        not isinstance(record, dict)
        or type(record.get("step")) is not int
        or not isinstance(record.get("losses"), dict)
    ):
        return None
    sources = record["losses"].values()
    whole = all(isinstance(each, dict) and all(map(_is_loss, each.values())) for each in sources)
    return record if whole else None


def _is_loss(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _tokens(vocabulary: Vocabulary, facts: dict[str, Any]) -> str:
    """A table of what the ids are."""
    text = facts.get("text_tokenizer", _NOT_RECORDED)
    rows = {f"0 to {vocabulary.num_text_ids - 1:,}": f"text tokenizer: {text}"} if vocabulary.num_text_ids else {}
    rows |= {f"{vocabulary.special_id(token):,}": _code(token) for token in vocabulary.special_tokens}
    if speech := vocabulary.speech_ids:
        tokenizer = facts.get("speech_tokenizer", {})
        name = f"{tokenizer.get('name', _NOT_RECORDED)}, fingerprint {vocabulary.speech_fingerprint[:12] or 'none'}"
        rate = f"{tokenizer['frame_rate']:g} per second" if "frame_rate" in tokenizer else f"rate {_NOT_RECORDED}"
        codes = " to ".join(_code(vocabulary.speech_token(code)) for code in (0, len(speech) - 1))
        what = f"{codes}: {len(speech):,} codes of the speech tokenizer ({name}; {rate})"
        rows[f"{speech.start:,} to {speech.stop - 1:,}"] = what
    return "\n".join(["| ids | what |", "|---|---|", *(f"| {ids} | {what} |" for ids, what in rows.items())])


def _code(token: str) -> str:
    """A token as code in a table, whose columns bars would end."""
    return f"`{token}`".replace("|", "\\|")


def _how_to_load(name: str, vocabulary: Vocabulary) -> str:
    """Code that works beside the folder."""
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
