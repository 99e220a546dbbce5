"""Compares text-to-token models that are trained on more or less speech.

Trains every row of curve.yaml for the same number of steps and writes a report. The speech tokenizer comes from the
miniature (examples/miniature/run.sh). First 12,800 utterances are synthesised and encoded, in a quarter of an hour on
two cores. Each row takes about as long. Finished steps are skipped, so the command can be stopped and repeated. The
output of a row goes to curve/<row>/<step>.log; curve/report.md is rewritten after every row. If a row fails, the
others continue; failed rows are named at the end, with exit status 1.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial

from megatron_speech.examples.runner.rows import read_rows, reading, rows_option
from megatron_speech.examples.runner.work import Example, Step, Work, folder, run_dir_option

SHORT = {"short": "3", "middle": "5.5"}
"""Sets of short pairs that are learnt first, with their longest duration in seconds."""


def _options(parser: ArgumentParser) -> None:
    rows_option(parser, "hours_1 hours_4 ...")
    parser.add_argument(
        "--tokenizer",
        default="runs/miniature/speech_tokenizer",
        help="folder of the speech tokenizer (default: runs/miniature/speech_tokenizer)",
    )
    run_dir_option(parser, "text_to_token")


def _speech() -> list[Step]:
    """Real voices and texts, as in the miniature."""
    codes = [
        Step(f"codes-{part}", "tokenize_speech", "miniature/codes", _moved("audio", "codes", part))
        for part in ("train", "heldout")
    ]
    return [
        Step("fetch", "fetch_assets", "miniature/assets"),
        Step("unpack", "unpack_assets", "miniature/assets"),
        Step("corpus", "prepare_corpus", "miniature/corpus"),
        Step("audio-train", "speak_corpus", "text_to_token/audio_train"),
        Step("audio-heldout", "speak_corpus", "text_to_token/audio_heldout"),
        *codes,
    ]


def _moved(source: str, output: str, part: str) -> dict[str, object]:
    return {source: f"{source}/{part}", "output": f"{output}/{part}"}


def _row(row: str, utterances: int, spelling: str) -> list[Step]:
    """Build pairs, train a model on them, and measure its round trip."""
    here, vocabulary, held_out = f"curve/{row}", f"vocabulary_{spelling}", f"heldout_{spelling}"
    step = partial(Step, row=row)
    return [
        step(
            f"vocabulary-{spelling}",
            "build_vocabulary",
            "miniature/text_to_token_vocabulary",
            {"spelling": spelling, "output": vocabulary},
        ),
        *_pairs(row, vocabulary, utterances),
        *_held_out(row, spelling, vocabulary, held_out),
        step(
            f"{row}/run",
            "train_text_to_token",
            "text_to_token/text_to_token",
            {
                "folder": f"{here}/run",
                "pairs": f"{here}/packed",
                **{f"first.{name}.pairs": f"{here}/{name}/packed" for name in SHORT},
                "held_out": f"{held_out}/packed",
            },
            ranks=2,
            log=f"{here}/run.log",
            cpu_timings=f"{here}/timings.jsonl",
            done=f"{here}/run/done.json",
        ),
        step(
            f"{row}/hf",
            "convert_to_hf",
            "miniature/text_to_token_export",
            {"checkpoint": f"{here}/run", "vocabulary": vocabulary, "output": f"{here}/hf"},
            log=f"{here}/hf.log",
        ),
        step(
            f"{row}/round_trip",
            "round_trip",
            "text_to_token/round_trip",
            {"model": f"{here}/hf", "output": f"{here}/round_trip"},
            log=f"{here}/round_trip.log",
        ),
    ]


def _held_out(row: str, spelling: str, vocabulary: str, folder: str) -> list[Step]:
    """Held-out pairs in this spelling, in rows."""
    return [
        Step(
            f"held-out-{spelling}",
            "build_task_documents",
            "miniature/task_text_to_token",
            {"codes": "[codes/heldout]", "vocabulary": vocabulary, "output": f"{folder}/documents"},
            row=row,
        ),
        Step(
            f"held-out-packed-{spelling}",
            "pack_shards",
            "miniature/pack_text_to_token",
            {"input": f"{folder}/documents", "output": f"{folder}/packed"},
            row=row,
        ),
    ]


def _pairs(row: str, vocabulary: str, utterances: int) -> list[Step]:
    """Documents and rows of all pairs, then of the short ones only."""
    steps = []
    for name, longest in [("", ""), *SHORT.items()]:
        folder, prefix = f"curve/{row}/{name}".rstrip("/"), f"{row}/{name}-" if name else f"{row}/"
        overrides: dict[str, object] = {
            "vocabulary": vocabulary,
            "output": f"{folder}/documents",
            "utterances.of_first": utterances,
        }
        if longest:
            overrides["utterances.max_duration_s"] = longest
        settings = "miniature/task_text_to_token"
        log = f"curve/{prefix}documents.log"
        steps.append(Step(f"{prefix}documents", "build_task_documents", settings, overrides, row=row, log=log))
        settings = "miniature/pack_text_to_token"
        overrides = {"input": f"{folder}/documents", "output": f"{folder}/packed"}
        log = f"curve/{prefix}packed.log"
        steps.append(Step(f"{prefix}packed", "pack_shards", settings, overrides, row=row, log=log))
    return steps


def _table() -> Step:
    return Step(
        "table",
        "text_to_token_curve",
        "text_to_token/curve",
        reading("text_to_token"),
        needs="curve/*/round_trip/manifest.json",
    )


def _work(options: Namespace) -> Work:
    rows = read_rows("text_to_token/curve", options.rows)
    run_dir, tokenizer = folder("--run-dir", options.run_dir), folder("--tokenizer", options.tokenizer)
    if not (options.list or (tokenizer / "manifest.json").is_file()):
        raise FileNotFoundError(
            f"--tokenizer={tokenizer} is no speech tokenizer; run examples/miniature/run.sh first, or name another"
        )
    steps = _speech()
    for row, settings in rows.items():
        steps += [*_row(row, settings["utterances"], settings.get("spelling", "sounds")), _table()]
    return Work(
        steps=steps,
        folder=run_dir,
        links={"speech_tokenizer": tokenizer},
        threads=2,
        report="curve/report.md",
        failures=lambda failed: (
            f"{' '.join(dict.fromkeys(step.row for step in failed))}; their logs are in {run_dir}/curve"
        ),
    )


TEXT_TO_TOKEN = Example(about=__doc__, options=_options, work=_work)
