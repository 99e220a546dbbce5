"""Tests the claim of arXiv 2411.17607 with a model of 3M weights: does interleaving carry written facts to speech?

Facts about countries and invented towns are written, spoken and interleaved; half of the answers are only ever written.
Arms train on equally many tokens with and without interleaved data, and are asked in writing and aloud. The report is
arms/report.md. Finished steps are skipped, so the command can be stopped and repeated.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import yaml

from megatron_speech.config.parsing.config_files import EXAMPLES
from megatron_speech.examples.runner.work import Example, Step, Work, folder, run_dir_option

SOURCES = ("text", "interleaved", "recognition", "synthesis")
PARTS = ("train", "heldout", "questions", "answers")
AMOUNTS = {
    "hibari_utterances": 8000,
    "flite_utterances": 250,  # by each of the four voices of flite
    "tokenizer_steps": 300,
    "text_to_token_steps": 1600,
    "spoken_epochs": 32,
    "arm_steps": 2500,
}
"""Amounts of work. A budget below `HOUR` minutes, an estimate for two arms on two cores, takes its share of them."""
HOUR = 60
MAIN = ("interleaved", "paired")
ROWS_PER_STEP, ROW_TOKENS = {"text_to_token": 4, "arm": 8}, {"text_to_token": 512, "arm": 256}
DOCUMENTS: Mapping[str, Mapping[str, object]] = {
    "spans_2": {"spans.mean_length": 2},
    "spans_8": {"spans.mean_length": 8},
    "ratio_15": {"spans.ratio": 0.15},
    "ratio_30": {"spans.ratio": 0.3},
}
"""Other interleaved documents that arms name, with what differs from interleaved.yaml."""
Amounts = Mapping[str, int]


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="training runs of each arm (default: 3)")
    parser.add_argument("--arms", default="", metavar="NAMES", help='arms, such as "interleaved paired" (default: all)')
    parser.add_argument(
        "--budget-minutes",
        type=int,
        metavar="N",
        help="one training run of the two main arms alone; below 60, with less work in every step",
    )
    run_dir_option(parser, "claim")


def step(name: str, tool: str, settings: str, overrides: Mapping[str, object] | None = None, **more: Any) -> Step:
    """A step with a settings file of this example, or of the miniature if that is named."""
    return Step(name, tool, settings if "/" in settings else f"claim/{settings}", overrides or {}, **more)


def voices_of(amounts: Amounts) -> list[Step]:
    """Facts, and voices that speak them."""
    few = amounts["flite_utterances"]
    voices = f"{{hibari: {amounts['hibari_utterances']}, slt: {few}, rms: {few}, awb: {few}, kal16: {few}}}"
    return [
        step("facts", "prepare_facts", "facts", {"spoken_epochs": amounts["spoken_epochs"]}),
        *(
            step(f"audio-{part}", "speak_corpus", f"audio_{part}", {"utterances": voices} if part == "train" else {})
            for part in PARTS
        ),
    ]


def codes() -> list[Step]:
    """Codes of all speech."""
    return [
        step(
            f"codes-{part}", "tokenize_speech", "miniature/codes", {"audio": f"audio/{part}", "output": f"codes/{part}"}
        )
        for part in PARTS
    ]


def tokens_of(amounts: Amounts, trained: str) -> int:
    """Tokens of the training of `trained`."""
    return amounts[f"{trained}_steps"] * ROWS_PER_STEP[trained] * ROW_TOKENS[trained]


def _text_to_token(amounts: Amounts) -> list[Step]:
    """The text-to-token model, its export and its round trip."""
    tokens = tokens_of(amounts, "text_to_token")
    short = {"utterances.max_duration_s": 2, "output": "t2t/short/documents"}
    packed = {"input": "t2t/short/documents", "output": "t2t/short/packed"}
    return [
        step("text-to-token-vocabulary", "build_vocabulary", "miniature/text_to_token_vocabulary"),
        step("text-to-token-documents", "build_task_documents", "miniature/task_text_to_token"),
        step("text-to-token-packed", "pack_shards", "miniature/pack_text_to_token"),
        step("text-to-token-short", "build_task_documents", "miniature/task_text_to_token", short),
        step("text-to-token-short-packed", "pack_shards", "miniature/pack_text_to_token", packed),
        step(
            "text-to-token",
            "train_text_to_token",
            "text_to_token",
            {"train.tokens": tokens, "first.short.tokens": tokens // 8},
            ranks=2,
            done="t2t/run/done.json",
        ),
        step("text-to-token-export", "convert_to_hf", "miniature/text_to_token_export"),
        *vocabulary(),
        step("round-trip", "round_trip", "round_trip"),
    ]


def vocabulary() -> list[Step]:
    """The text tokenizer of the facts, and the vocabulary."""
    return [
        step("text-tokenizer", "train_text_tokenizer", "text_tokenizer"),
        step("vocabulary", "build_vocabulary", "vocabulary"),
    ]


def documents(others: Iterable[str] = ()) -> list[Step]:
    """Documents of the four sources, and `others` of interleaved ones, in rows."""
    return [
        step("interleaved", "build_interleaved", "interleaved"),
        *(
            step(name, "build_interleaved", "interleaved", {**DOCUMENTS[name], "output": f"documents/{name}"})
            for name in others
        ),
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
            for source in (*SOURCES, *others)
        ),
    ]


def train_arms(arms: Mapping[str, Mapping[str, Any]], seeds: int, tokens: int) -> list[Step]:
    """Train and ask all arms with one seed, then with the next; the report is written again after each."""
    steps = []
    for seed in range(seeds):
        for name, arm in arms.items():
            table = step("table", "claim_report", "arms", needs="arms/*/*/evaluation/manifest.json")
            steps += [*_arm(name, arm, seed, tokens), table]
    return steps


def _arm(name: str, arm: Mapping[str, Any], seed: int, tokens: int) -> list[Step]:
    """Train one arm with one seed, export it, and ask it."""
    here = f"arms/{name}/{seed}"
    mine = partial(step, row=f"{name}/{seed}")
    changes = {f"data.sources.{source}.weight": arm.get(source, 0) for source in SOURCES} | arm.get("settings", {})
    if "documents" in arm:
        changes["data.sources.interleaved.folder"] = f"packed/{arm['documents']}"
    run = {"folder": f"{here}/run", "train.seed": seed, "data.seed": seed, "train.tokens": tokens}
    return [
        mine(f"{name}-{seed}", "pretrain", "pretrain", {**run, **changes}, ranks=2, done=f"{here}/run/done.json"),
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
        mine(f"{name}-{seed}-probe", "probe_layers", "probe", {"model": f"{here}/hf", "output": f"{here}/probe"}),
    ]


def read_arms(names: str) -> dict[str, dict[str, Any]]:
    """Arms by name: those of `names`, in that order, or all. Raises ValueError for an unknown name."""
    arms = yaml.safe_load((EXAMPLES / "claim" / "arms.yaml").read_text())["arms"]
    for name in names.split():
        if name not in arms:
            raise ValueError(f"{name} is no arm of arms.yaml; name one of {', '.join(arms)}")
    return {name: arms[name] for name in names.split() or arms}


def _amounts(minutes: int) -> dict[str, int]:
    """Amounts of work for a budget of `minutes`: in proportion below an hour."""
    if minutes < 1:
        raise ValueError(f"--budget-minutes={minutes} must be at least 1")
    return {name: max(1, most * min(minutes, HOUR) // HOUR) for name, most in AMOUNTS.items()}


def _work(options: Namespace) -> Work:
    if options.seeds < 1:
        raise ValueError(f"--seeds={options.seeds} must be at least 1")
    amounts = _amounts(HOUR if options.budget_minutes is None else options.budget_minutes)
    seeds, names = (options.seeds, options.arms) if options.budget_minutes is None else (1, " ".join(MAIN))
    arms = read_arms(names)
    others = dict.fromkeys(arm["documents"] for arm in arms.values() if "documents" in arm)
    return Work(
        steps=[
            step("fetch", "fetch_assets", "miniature/assets"),
            step("unpack", "unpack_assets", "miniature/assets"),
            *voices_of(amounts),
            step("tokenizer", "train_speech_tokenizer", "speech_tokenizer", {"steps": amounts["tokenizer_steps"]}),
            *codes(),
            *_text_to_token(amounts),
            *documents(others),
            *train_arms(arms, seeds, tokens_of(amounts, "arm")),
        ],
        folder=folder("--run-dir", options.run_dir),
        threads=2,
        settings=f"minutes={min(options.budget_minutes or HOUR, HOUR)}",
        report="arms/report.md",
    )


CLAIM = Example(about=__doc__, options=_options, work=_work)
