"""Interleaves 3.8 million words of English prose, with the models of a finished miniature.

The report is documents/interleaved/report.md. Finished spans are kept, so the command can be stopped or killed, and
repeated.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from megatron_speech.examples.runner.work import Example, Step, Work, folder, run_dir_option


def _options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--miniature",
        default="runs/miniature",
        help="run folder of a finished miniature (default: runs/miniature)",
    )
    run_dir_option(parser, "interleave")


def _work(options: Namespace) -> Work:
    miniature = folder("--miniature", options.miniature)
    if not (options.list or (miniature / "t2t" / "hf" / "manifest.json").is_file()):
        raise FileNotFoundError(f"{miniature}/t2t/hf does not exist; run examples/miniature/run.sh first")
    steps = [
        Step("fetch", "fetch_assets", "interleave/assets"),
        Step("corpus", "prepare_prose", "interleave/corpus"),
        Step("interleaved", "build_interleaved", "interleave/interleaved"),
    ]
    return Work(
        steps=steps,
        folder=folder("--run-dir", options.run_dir),
        links={name: miniature / name for name in ("t2t", "vocabulary", "speech_tokenizer")},
    )


INTERLEAVE = Example(about=__doc__, options=_options, work=_work)
