"""Compares speech tokenizers with other rates, codebooks, layers and training data.

Trains every row of experiments.yaml and writes a report. First it synthesises 16 hours of speech (9,000 utterances
of four voices, six minutes on two cores). Then it trains one row after the other, each for a quarter of an hour to
many hours. Finished steps are skipped, so the command can be stopped and repeated. The output of a row goes to
experiments/<row>/tokenizer.log and report.log; experiments/report.md is rewritten after every row. If a row fails,
the others continue; failed rows are named at the end, with exit status 1.
"""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace

from megatron_speech.examples.runner.rows import read_rows, reading, rows_option
from megatron_speech.examples.runner.work import Example, Step, Work, folder, run_dir_option

ONE_VOICE = "{hibari: 9000, slt: 0, rms: 0, kal16: 0}"


def _options(parser: ArgumentParser) -> None:
    rows_option(parser, "base rate_25 ...")
    run_dir_option(parser, "speech_tokenizer")


def _speech(rows: list[str]) -> list[Step]:
    """Real models, voices and texts, as in the miniature."""
    steps = [
        Step("fetch", "fetch_assets", "miniature/assets"),
        Step("unpack", "unpack_assets", "miniature/assets"),
        Step("corpus", "prepare_corpus", "miniature/corpus"),
        Step("audio-train", "speak_corpus", "speech_tokenizer/audio_train"),
        Step("audio-seen", "speak_corpus", "speech_tokenizer/audio_seen"),
        Step("audio-unseen", "speak_corpus", "speech_tokenizer/audio_unseen"),
        Step("audio-human", "speak_corpus", "miniature/audio_human"),
    ]
    if "one_voice" in rows:
        overrides = {"output": "audio/one_voice", "utterances": ONE_VOICE}
        steps.append(Step("audio-one-voice", "speak_corpus", "speech_tokenizer/audio_train", overrides))
    return steps


def _part(row: str, part: str, tool: str, settings: str, overrides: dict[str, str]) -> Step:
    output = f"experiments/{row}/{part}"
    return Step(
        f"{row}/{part}",
        tool,
        f"speech_tokenizer/{settings}",
        {**overrides, "output": output},
        row=row,
        log=f"{output}.log",
        cpu_timings=f"experiments/{row}/timings.jsonl",
        done=f"{output}/manifest.json",
    )


def _row(row: str, words: str) -> list[Step]:
    """Train a row, measure it, and write the table of all rows."""
    keys = shlex.split(words)
    changed = {key.removeprefix("--"): value for key, value in zip(keys[::2], keys[1::2], strict=True)}
    # Readers of codes measure every row. Readers of the audio give the same for all rows, so only the first asks them.
    bounds = {} if row == "base" else dict.fromkeys(("whisper", "judge", "robustness"), "null")
    tokenizer = {"tokenizer": f"experiments/{row}/tokenizer"}
    return [
        _part(row, "tokenizer", "train_speech_tokenizer", "tokenizer", changed),
        _part(row, "report", "tokenizer_report", "report", {**tokenizer, **bounds}),
        Step(
            "table",
            "tokenizer_experiments",
            "speech_tokenizer/experiments",
            reading("speech_tokenizer"),
            row="table",
            needs="experiments/*/report/manifest.json",
        ),
    ]


def _work(options: Namespace) -> Work:
    rows = read_rows("speech_tokenizer/experiments", options.rows)
    return Work(
        steps=[*_speech(list(rows)), *(step for row, words in rows.items() for step in _row(row, words))],
        folder=folder("--run-dir", options.run_dir),
        threads=2,
        report="experiments/report.md",
    )


SPEECH_TOKENIZER = Example(about=__doc__, options=_options, work=_work)
