"""Tests the claim of arXiv 2411.17607 with a model of 3M weights: does interleaving carry written facts to speech?

Facts about countries and invented towns are written, spoken and interleaved; half of the answers are only ever written.
Arms train on equally many tokens with and without interleaved data, and are asked in writing and aloud. The report is
arms/report.md. Finished steps are skipped, so the command can be stopped and repeated.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from functools import partial
from typing import Any

import yaml

from megatron_speech.config.parsing.config_files import EXAMPLES
from megatron_speech.examples.runner.work import Example, Step, Work, folder, run_dir_option

SOURCES = ("text", "interleaved", "recognition", "synthesis")


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="training runs of each arm (default: 3)")
    parser.add_argument("--arms", default="", metavar="NAMES", help='arms, such as "interleaved paired" (default: all)')
    run_dir_option(parser, "claim")


def step(name: str, tool: str, settings: str, overrides: Mapping[str, object] | None = None, **more: Any) -> Step:
    """A step with a settings file of this example, or of the miniature if that is named."""
    return Step(name, tool, settings if "/" in settings else f"claim/{settings}", overrides or {}, **more)


def _speech() -> list[Step]:
    """Facts, voices, the speech tokenizer, and codes of all speech."""
    parts = ("train", "heldout", "questions", "answers")
    return [
        step("fetch", "fetch_assets", "miniature/assets"),
        step("unpack", "unpack_assets", "miniature/assets"),
        step("facts", "prepare_facts", "facts"),
        *(step(f"audio-{part}", "speak_corpus", f"audio_{part}") for part in parts),
        step("tokenizer", "train_speech_tokenizer", "speech_tokenizer"),
        *(
            step(
                f"codes-{part}",
                "tokenize_speech",
                "miniature/codes",
                {"audio": f"audio/{part}", "output": f"codes/{part}"},
            )
            for part in parts
        ),
    ]


def _text_to_token() -> list[Step]:
    """The text-to-token model, its export and its round trip."""
    short = {"utterances.max_duration_s": 2, "output": "t2t/short/documents"}
    packed = {"input": "t2t/short/documents", "output": "t2t/short/packed"}
    return [
        step("text-to-token-vocabulary", "build_vocabulary", "miniature/text_to_token_vocabulary"),
        step("text-to-token-documents", "build_task_documents", "miniature/task_text_to_token"),
        step("text-to-token-packed", "pack_shards", "miniature/pack_text_to_token"),
        step("text-to-token-short", "build_task_documents", "miniature/task_text_to_token", short),
        step("text-to-token-short-packed", "pack_shards", "miniature/pack_text_to_token", packed),
        step("text-to-token", "train_text_to_token", "text_to_token", ranks=2, done="t2t/run/done.json"),
        step("text-to-token-export", "convert_to_hf", "miniature/text_to_token_export"),
        step("text-tokenizer", "train_text_tokenizer", "text_tokenizer"),
        step("vocabulary", "build_vocabulary", "vocabulary"),
        step("round-trip", "round_trip", "round_trip"),
    ]


def _documents() -> list[Step]:
    """Documents of the four sources, in rows."""
    return [
        step("interleaved", "build_interleaved", "interleaved"),
        step("text", "tokenize_text", "text_tokens"),
        step("recognition", "build_task_documents", "miniature/task_recognition"),
        step("synthesis", "build_task_documents", "task_synthesis"),
        *(
            step(
                f"pack-{source}",
                "pack_shards",
                "pack",
                {"input": f"documents/{source}", "output": f"packed/{source}", "name": source},
            )
            for source in SOURCES
        ),
    ]


def _arm(name: str, weights: Mapping[str, float], seed: int) -> list[Step]:
    """Train one arm with one seed, export it, and ask it."""
    here = f"arms/{name}/{seed}"
    mine = partial(step, row=f"{name}/{seed}")
    shares = {f"data.sources.{source}.weight": weights.get(source, 0) for source in SOURCES}
    run = {"folder": f"{here}/run", "train.seed": seed, "data.seed": seed}
    return [
        mine(f"{name}-{seed}", "pretrain", "pretrain", {**run, **shares}, done=f"{here}/run/done.json"),
        mine(
            f"{name}-{seed}-export",
            "convert_to_hf",
            "miniature/export",
            {"checkpoint": f"{here}/run", "output": f"{here}/hf"},
        ),
        mine(
            f"{name}-{seed}-evaluation",
            "evaluate",
            "evaluation",
            {"model": f"{here}/hf", "output": f"{here}/evaluation"},
        ),
    ]


def _arms(names: str) -> dict[str, dict[str, float]]:
    """Weights of sources by arm: of `names`, in that order, or of all. Raises ValueError for an unknown name."""
    arms = yaml.safe_load((EXAMPLES / "claim" / "arms.yaml").read_text())["arms"]
    for name in names.split():
        if name not in arms:
            raise ValueError(f"{name} is no arm of arms.yaml; name one of {', '.join(arms)}")
    return {name: arms[name] for name in names.split() or arms}


def _work(options: Namespace) -> Work:
    if options.seeds < 1:
        raise ValueError(f"--seeds={options.seeds} must be at least 1")
    names = _arms(options.arms)
    arms = []
    for seed in range(options.seeds):
        for name, weights in names.items():
            arms += [
                *_arm(name, weights, seed),
                step("table", "claim_report", "arms", needs="arms/*/*/evaluation/manifest.json"),
            ]
    return Work(
        steps=[*_speech(), *_text_to_token(), *_documents(), *arms],
        folder=folder("--run-dir", options.run_dir),
        threads=2,
        report="arms/report.md",
    )


CLAIM = Example(about=__doc__, options=_options, work=_work)
