"""Trains a small speech-text model from a text corpus: all steps of arXiv 2411.17607, with the code of large runs.

The budget sets the amount of work in each step (table in budget.py); the steps are always the same. Finished steps
are skipped, so the command can be stopped and repeated at any time. Every step is one command with its own YAML
file, and can be run by hand from inside the run folder. Training starts from SmolLM2-135M-Instruct, packaged with
4-bit weights, because a package index has no better small text model.
"""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from megatron_speech.examples.runner.work import Example, Step, Work, folder, run_dir_option
from megatron_speech.examples.steps import claim
from megatron_speech.examples.steps.miniature_budget import AMOUNTS, amount
from megatron_speech.examples.steps.miniature_estimate import MEASURED, estimate, print_estimate, seconds_by_step

ROW_TOKENS, ROWS_PER_STEP = 512, 4
SHORT = {"short": "3", "middle": "5.5"}
"""Sets of short pairs that the text-to-token model learns first, with their longest duration in seconds."""
CLAIM = "claim"
"""Folder of the last part, with the steps of the example of that name."""
LEAST_CLAIM_STEPS = 1000
Amounts = Mapping[str, int]


def step(
    name: str,
    tool: str,
    settings: str,
    overrides: Mapping[str, object] | None = None,
    *,
    ranks: int = 1,
    done: str = "",
) -> Step:
    """A step with a settings file of this example."""
    return Step(name, tool, f"miniature/{settings}", overrides or {}, ranks=ranks, done=done)


train = partial(step, ranks=2)


def steps(amounts: Amounts, *, assets: str, pretrain: str) -> list[Step]:
    """All steps in order; `pretrain` names the settings of the big model."""
    return [
        # Real models, voices and texts, pinned by version and hash, in the cache beside .venv (shared by all runs).
        step("fetch", "fetch_assets", "assets", {"set": assets}),
        step("unpack", "unpack_assets", "assets", {"set": assets}),
        *_speech(amounts),
        *_speech_tokenizer(amounts),
        *_text_to_token(amounts),
        *_documents(amounts),
        *_pretraining(amounts["pretrain_steps"], pretrain),
        *_evaluation(amounts),
        *_claim(amounts),
        step("report", "report", "report"),
    ]


def _claim(amounts: Amounts) -> list[Step]:
    """The paper's claim with two small models, in the folder claim: with and without interleaved documents.

    Empty if the budget is too small for the models to learn the written facts.
    """
    if amounts["claim_steps"] < LEAST_CLAIM_STEPS:
        return []
    less = {
        "hibari_utterances": amounts["claim_utterances"],
        "flite_utterances": amounts["flite_utterances"] // 2,
        "spoken_epochs": amounts["claim_epochs"],
        "arm_steps": amounts["claim_steps"],
    }
    steps = [
        *claim.voices_of(less),
        *claim.codes(),
        *claim.vocabulary(),
        *claim.documents(),
        *claim.train_arms(claim.read_arms(" ".join(claim.MAIN)), 1, claim.tokens_of(less, "arm")),
    ]
    return [replace(each, name=f"{CLAIM}-{each.name}", inside=CLAIM, row="", needs="") for each in steps]


def _speech(amounts: Amounts) -> list[Step]:
    """Texts, synthetic speech and recordings."""
    few = amounts["flite_utterances"]
    voices = f"{{hibari: {amounts['hibari_utterances']}, slt: {few}, rms: {few}, awb: {few}, kal16: {few}}}"
    heldout = f"{{hibari: {amounts['heldout_utterances']}}}"
    return [
        # First paragraphs of Wikipedia and geography facts; texts that must not become speech are marked.
        step("corpus", "prepare_corpus", "corpus"),
        # Synthetic voices read part of the texts; recordings of people are held out.
        step("audio-train", "speak_corpus", "audio_train", {"utterances": voices}),
        step("audio-heldout", "speak_corpus", "audio_heldout", {"utterances": heldout}),
        step("audio-human", "speak_corpus", "audio_human"),
        step("audio-questions", "speak_corpus", "audio_questions", {"items": amounts["questions"]}),
        step("audio-cloze", "speak_corpus", "audio_cloze", {"items": amounts["cloze_items"]}),
    ]


def _speech_tokenizer(amounts: Amounts) -> list[Step]:
    """The speech tokenizer, codes of all speech, and a report on the tokenizer."""
    codes = [
        step(f"codes-{part}", "tokenize_speech", "codes", {"audio": f"audio/{part}", "output": f"codes/{part}"})
        for part in ("train", "heldout", "human", "questions", "cloze")
    ]
    read_back = {"max_utterances": amounts["heldout_utterances"]}
    return [
        step("tokenizer", "train_speech_tokenizer", "speech_tokenizer", {"steps": amounts["tokenizer_steps"]}),
        *codes,
        step("tokenizer-report", "tokenizer_report", "tokenizer_report", read_back),
    ]


def _text_to_token(amounts: Amounts) -> list[Step]:
    """The text-to-token model: trained on two data-parallel ranks, short pairs first; its export and round trip."""
    tokens = amounts["text_to_token_steps"] * ROWS_PER_STEP * ROW_TOKENS
    first = {f"first.{name}.tokens": tokens // 8 for name in SHORT}
    texts = {"utterances.max_utterances": amounts["round_trip_texts"]}
    return [
        step("text-to-token-vocabulary", "build_vocabulary", "text_to_token_vocabulary"),
        step("text-to-token-documents", "build_task_documents", "task_text_to_token"),
        step("text-to-token-packed", "pack_shards", "pack_text_to_token"),
        *_short_pairs(),
        train("text-to-token", "train_text_to_token", "text_to_token", {"train.tokens": tokens, **first}),
        step("text-to-token-export", "convert_to_hf", "text_to_token_export"),
        step("vocabulary", "build_vocabulary", "vocabulary"),
        step("round-trip", "round_trip", "round_trip", texts),
    ]


def _short_pairs() -> list[Step]:
    """Documents and rows of short pairs, from which the model learns alignment first."""
    found = []
    for name, longest in SHORT.items():
        documents, packed = f"t2t/{name}/documents", f"t2t/{name}/packed"
        some = {"utterances.max_duration_s": longest, "output": documents}
        found += [
            step(f"text-to-token-{name}", "build_task_documents", "task_text_to_token", some),
            step(
                f"text-to-token-{name}-packed",
                "pack_shards",
                "pack_text_to_token",
                {"input": documents, "output": packed},
            ),
        ]
    return found


def _documents(amounts: Amounts) -> list[Step]:
    """Interleaved, text, recognition and synthesis documents, packed into rows."""
    interleaved = {
        "corpora.wikipedia.max_documents": amounts["interleaved_documents"],
        "corpora.geography.max_documents": amounts["geography_documents"],
        "corpora.geography.renderings": amounts["geography_renderings"],
    }
    heldout = {"corpora.wikipedia.max_documents": amounts["heldout_documents"]}
    tasks, packed = [], []
    for task in ("recognition", "synthesis"):
        tasks.append(step(task, "build_task_documents", f"task_{task}"))
        tasks.append(step(f"{task}-heldout", "build_task_documents", f"task_{task}_heldout"))
    for source in ("text", "interleaved", "recognition", "synthesis"):
        packed.append(step(f"pack-{source}", "pack_shards", f"pack_{source}"))
        packed.append(step(f"pack-{source}-heldout", "pack_shards", f"pack_{source}_heldout"))
    return [
        step("interleaved", "build_interleaved", "interleaved", interleaved),
        step("interleaved-heldout", "build_interleaved", "interleaved_heldout", heldout),
        step("text", "tokenize_text", "text_tokens"),
        step("text-heldout", "tokenize_text", "text_heldout_tokens"),
        *tasks,
        *packed,
    ]


def _pretraining(number: int, settings: str) -> list[Step]:
    """Pre-training: the first half with pipeline parallelism, the second half resumed with data parallelism."""
    if settings == "pretrain_scratch":
        number *= 4  # the 18M model is four times as fast
    half, done = number // 2, "pretrain/done.json"
    # Held-out rows are scored at the stop, too, to compare both halves there.
    both = {"train.tokens": number * ROWS_PER_STEP * ROW_TOKENS, "logging.validate_every_steps": half}
    first = {**both, "train.stop_at_step": half, "parallel.pipeline_model_parallel_size": 2}
    second = {**both, "checkpoint.resume": "required"}
    return [
        step("base", "convert_from_hf", "base"),
        train("pretrain-first-half", "pretrain", settings, first, done=done),
        train("pretrain-second-half", "pretrain", settings, second, done=done),
    ]


def _evaluation(amounts: Amounts) -> list[Step]:
    """Exports, evaluation before and after training, samples, and decoded speech."""
    lines = {f"tasks.{task}.max_items": amounts["spoken_lines"] for task in ("recognition", "synthesis")}
    held_out = {"held_out.max_documents": amounts["heldout_documents"], **lines}
    before = {**held_out, "model": "hf_before", "output": "evaluation/before"}
    return [
        step("export-before", "convert_to_hf", "export_before"),
        step("export", "convert_to_hf", "export"),
        step("evaluation-before", "evaluate", "evaluation", before),
        step("evaluation-after", "evaluate", "evaluation", held_out),
        step("samples", "generate", "generate"),
        step("speech-decoder", "train_speech_decoder", "speech_decoder", {"steps": amounts["decoder_steps"]}),
        step("decode", "decode_speech", "decode"),
    ]


def _options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--budget-minutes", default="20", metavar="N", help="amount of work; 8, 20 and 90 were measured (default: 20)"
    )
    parser.add_argument("--assets", default="", help="full or ci: what is downloaded (default: ci below 10 minutes)")
    parser.add_argument("--model.base", dest="base", help="scratch: an 18M model that begins without any text")
    run_dir_option(parser, "miniature")


def _work(options: Namespace) -> Work:
    if options.base not in (None, "scratch"):
        raise ValueError(
            f"--model.base={options.base} must be 'scratch'; leave it out to start from SmolLM2-135M-Instruct"
        )
    if not re.fullmatch(r"[1-9][0-9]{0,3}", options.budget_minutes):
        raise ValueError(
            f"--budget-minutes={options.budget_minutes} must be a whole number from 1 to 9999; "
            "8, 20 and 90 were measured"
        )
    minutes = int(options.budget_minutes)
    assets = options.assets or ("ci" if minutes < 10 else "full")
    if assets not in ("ci", "full"):
        raise ValueError(f"--assets={assets} must be ci or full")
    pretrain = "pretrain_scratch" if options.base else "pretrain"
    predicted = seconds_by_step(minutes, MEASURED)
    run_dir = folder("--run-dir", options.run_dir)
    shared = {f"{CLAIM}/{name}": run_dir / name for name in ("assets", "speech_tokenizer", "t2t")}
    amounts = {name: amount(name, minutes) for name in AMOUNTS}
    return Work(
        steps=steps(amounts, assets=assets, pretrain=pretrain),
        folder=run_dir,
        links=shared if _claim(amounts) else {},
        settings=f"budget_minutes={minutes} assets={assets} pretrain={pretrain}.yaml",
        threads=2,
        predicted=predicted,
        probe=lambda: print_estimate(minutes) / estimate(minutes, MEASURED),
        report="report.md",
    )


MINIATURE = Example(about=__doc__, options=_options, work=_work)
