"""Trains, exports and evaluates a speech-text model on your own texts and recordings.

The folder of --data holds text/train.jsonl and text/heldout.jsonl, with lines such as {"id": "1", "text": "..."}, and
recordings/train.jsonl and recordings/heldout.jsonl, with lines such as {"audio": "a.wav", "text": "what is said"}.
Finished steps are skipped, so the command can be stopped and repeated. The YAML files set the amounts of work.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

from examples.runner.work import Example, Step, Work, folder, run_dir_option

HERE = Path(__file__).resolve().parent
MINIATURE = HERE.parent / "miniature"
FILES = ("text/train.jsonl", "text/heldout.jsonl", "recordings/train.jsonl", "recordings/heldout.jsonl")


def step(name: str, tool: str, overrides: Mapping[str, object] | None = None, *, variant: str = "") -> Step:
    """A step with the settings of its tool."""
    return Step(name, tool, HERE / f"{tool}{variant}.yaml", overrides or {})


def _speech() -> list[Step]:
    """Recordings to codes; the speech tokenizer is trained on them."""
    heldout = {"table": "recordings/heldout.jsonl", "output": "audio/heldout"}
    return [
        step("recordings", "import_speech"),
        step("recordings-heldout", "import_speech", heldout),
        step("tokenizer", "train_speech_tokenizer"),
        step("codes", "tokenize_speech"),
        step("codes-heldout", "tokenize_speech", {"audio": "audio/heldout", "output": "codes/heldout"}),
    ]


def _vocabularies() -> list[Step]:
    return [
        step("text-tokenizer", "train_text_tokenizer"),
        step("vocabulary", "build_vocabulary"),
        step("text-to-token-vocabulary", "build_vocabulary", variant="_text_to_token"),
    ]


def _text_to_token() -> list[Step]:
    """A model that speaks as the recordings do."""
    return [
        step("text-to-token-documents", "build_task_documents", variant="_text_to_token"),
        step("text-to-token-packed", "pack_shards", variant="_text_to_token"),
        step("text-to-token", "train_text_to_token"),
        step("text-to-token-export", "convert_to_hf", variant="_text_to_token"),
        step("round-trip", "round_trip"),
    ]


def _documents() -> list[Step]:
    """What the speech-text model learns from, in rows, and what it is asked about at the end."""
    text = {"corpora.texts.path": "text/heldout.jsonl", "output": "documents/text-heldout", "name": "text-heldout"}
    whole = {"algorithm": "best_fit", "overlong": "drop"}
    recognition = {"codes": "[codes/heldout]", "output": "documents/recognition-heldout"}
    return [
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


def _model() -> list[Step]:
    return [
        step("pretrain", "pretrain"),
        step("export", "convert_to_hf"),
        step("evaluation", "evaluate"),
        step("samples", "generate"),
    ]


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--data", default="", help="folder of your texts and recordings")
    run_dir_option(parser, "own_data")


def _work(options: Namespace) -> Work:
    data = folder("--data", options.data)
    for name in FILES:
        if not (data / name).is_file():
            raise FileNotFoundError(f"--data={data} holds no {name}; make it, see --help")
    whisper = [
        Step("fetch", "fetch_assets", MINIATURE / "assets.yaml", {"set": "ci"}),
        Step("unpack", "unpack_assets", MINIATURE / "assets.yaml", {"set": "ci"}),
    ]
    return Work(
        steps=[*whisper, *_speech(), *_vocabularies(), *_text_to_token(), *_documents(), *_model()],
        folder=folder("--run-dir", options.run_dir),
        links={name: data / name for name in ("text", "recordings")},
        threads=2,
    )


OWN_DATA = Example(about=__doc__, options=_options, work=_work)
