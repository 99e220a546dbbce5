"""Trains, exports and evaluates a speech-text model on your own texts and recordings.

The folder of --data holds text/train.jsonl and text/heldout.jsonl, with lines such as {"id": "1", "text": "..."}.
It holds recordings/train.jsonl and recordings/heldout.jsonl, with lines such as {"audio": "a.wav", "text": "Hello."}.
It may hold evaluation sets, too: evaluation/cloze.jsonl and evaluation/questions.jsonl, with their recordings.
`megatron-speech sample_data --output mydata` writes such a folder. Finished steps are skipped, so the command can be
stopped and repeated. The YAML files set the amounts of work.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from megatron_speech.examples.runner.work import Example, Step, Work, folder

FILES = ("text/train.jsonl", "text/heldout.jsonl", "recordings/train.jsonl", "recordings/heldout.jsonl")
PARTS = ("speech", "text_to_token", "interleave", "pretrain", "evaluate")
EVALUATION_SETS = {"cloze": "cloze", "questions": "geo_qa"}
"""Evaluation sets that --data may hold, with their section of the settings of `evaluate`."""
TRIAL: dict[str, dict[str, object]] = {
    "tokenizer": {"steps": 12, "batch_seconds": 20},
    "speech-decoder": {"steps": 30},
    "text-to-token": {"train.tokens": 61440},
    "round-trip": {"utterances.max_utterances": 4},
    "interleaved": {"corpora.texts.max_documents": 20, "noise.spans_per_shard": 4},
    "pretrain": {"train.tokens": 16384},
    "evaluation": {"held_out.max_documents": 4},
    "samples": {"utterances.max_utterances": 1, "max_speech_tokens": 50},
}
"""Amounts of --trial, by step."""


def step(name: str, tool: str, overrides: Mapping[str, object] | None = None, *, variant: str = "") -> Step:
    """A step with the settings of its tool."""
    return Step(name, tool, f"own_data/{tool}{variant}", overrides or {})


def _speech(sets: list[str]) -> list[Step]:
    """Recordings to codes and back; the speech tokenizer and the speech decoder are trained on them."""
    other = ("heldout", *sets)
    return [
        step("fetch", "fetch_assets"),
        step("unpack", "unpack_assets"),
        step("recordings", "import_speech"),
        *(step(f"recordings-{part}", "import_speech", _recordings(part)) for part in other),
        step("tokenizer", "train_speech_tokenizer"),
        step("codes", "tokenize_speech"),
        *(step(f"codes-{part}", "tokenize_speech", _codes(part)) for part in other),
        step("speech-decoder", "train_speech_decoder"),
    ]


def _recordings(part: str) -> dict[str, object]:
    table = f"recordings/{part}" if part == "heldout" else f"evaluation/{part}_recordings"
    return {"table": f"{table}.jsonl", "output": f"audio/{part}"}


def _codes(part: str) -> dict[str, object]:
    return {"audio": f"audio/{part}", "output": f"codes/{part}"}


def _text_to_token() -> list[Step]:
    """A model that speaks as the recordings do."""
    return [
        step("text-to-token-vocabulary", "build_vocabulary", variant="_text_to_token"),
        step("text-to-token-documents", "build_task_documents", variant="_text_to_token"),
        step("text-to-token-packed", "pack_shards", variant="_text_to_token"),
        step("text-to-token", "train_text_to_token"),
        step("text-to-token-export", "convert_to_hf", variant="_text_to_token"),
        step("round-trip", "round_trip"),
    ]


def _interleave(base: str) -> list[Step]:
    """The vocabulary, and what the speech-text model learns from, in rows."""
    text = {"corpora.texts.path": "text/heldout.jsonl", "output": "documents/text-heldout", "name": "text-heldout"}
    whole = {"algorithm": "best_fit", "overlong": "drop"}
    recognition = {"codes": "[codes/heldout]", "output": "documents/recognition-heldout"}
    vocabulary = [
        *([] if base else [step("text-tokenizer", "train_text_tokenizer")]),
        step("vocabulary", "build_vocabulary", {"text": base} if base else {}),
    ]
    return [
        *vocabulary,
        step("interleaved", "build_interleaved"),
        step("text", "tokenize_text"),
        step("text-heldout", "tokenize_text", text),
        step("recognition", "build_task_documents"),
        step("recognition-heldout", "build_task_documents", recognition),
        step("pack-interleaved", "pack_shards"),
        step("pack-text", "pack_shards", _packed("text")),
        step("pack-recognition", "pack_shards", {**_packed("recognition"), **whole}),
    ]


def _packed(name: str) -> dict[str, object]:
    return {"input": f"documents/{name}", "output": f"packed/{name}", "name": name}


def _pretrain(base: str) -> list[Step]:
    """The speech-text model."""
    if not base:
        return [step("pretrain", "pretrain")]
    return [
        step("base", "convert_from_hf", {"model": base}),
        step("pretrain", "pretrain", variant="_from_base"),
    ]


def _evaluate(sets: list[str]) -> list[Step]:
    """The export, its scores, and samples."""
    absent = {section: "null" for name, section in EVALUATION_SETS.items() if name not in sets}
    return [
        step("export", "convert_to_hf"),
        step("evaluation", "evaluate", absent),
        step("samples", "generate"),
    ]


def steps(*, sets: list[str], base: str = "", trial: bool = False) -> list[Step]:
    """All steps, for these evaluation sets and the Hugging Face folder `base`, if any."""
    lists = (_speech(sets), _text_to_token(), _interleave(base), _pretrain(base), _evaluate(sets))
    return [
        replace(each, part=part, overrides={**each.overrides, **(TRIAL.get(each.name, {}) if trial else {})})
        for part, listed in zip(PARTS, lists, strict=True)
        for each in listed
    ]


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--data", default="mydata", help="folder of your texts and recordings (default: mydata)")
    parser.add_argument("--base", default="", help="Hugging Face folder of a text model to begin from (default: none)")
    parser.add_argument("--trial", action="store_true", help="little training: minutes, to see every step run once")
    parser.add_argument("--run-dir", help="folder to fill (default: runs/own_data; with --trial: runs/own_data_trial)")


def _work(options: Namespace) -> Work:
    data = folder("--data", options.data)
    for name in (*FILES, *_recordings_of_sets(data)):
        if not (options.list or (data / name).is_file()):
            raise FileNotFoundError(f"--data={data} holds no {name}; make it, see --help")
    base = str(folder("--base", options.base)) if options.base else ""
    if base and not (Path(base) / "config.json").is_file():
        raise FileNotFoundError(f"--base={base} is no Hugging Face folder: it holds no config.json; correct the path")
    sets = [name for name in EVALUATION_SETS if (data / "evaluation" / f"{name}.jsonl").is_file()]
    default = "runs/own_data_trial" if options.trial else "runs/own_data"
    return Work(
        steps=steps(sets=sets, base=base, trial=options.trial),
        folder=folder("--run-dir", default if options.run_dir is None else options.run_dir),
        links={name: data / name for name in ("text", "recordings", *(["evaluation"] if sets else []))},
        settings=f"base={base or 'none'} trial={options.trial}",
        threads=2,
        remedy="mend the cause and repeat the command; after a change of the data, choose another --run-dir",
    )


def _recordings_of_sets(data: Path) -> Iterator[str]:
    for name in EVALUATION_SETS:
        if (data / "evaluation" / f"{name}.jsonl").is_file():
            yield f"evaluation/{name}_recordings.jsonl"


OWN_DATA = Example(about=__doc__, options=_options, work=_work, parts=PARTS)
