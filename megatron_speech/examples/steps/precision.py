"""Compares number formats: what does FP8 cost in loss?

Trains a small model on real interleaved tokens in float32, bfloat16 and each FP8 recipe (emulated on a CPU). Two
cores need about an hour and a quarter for 300 steps of five runs. Finished steps are skipped, so the command can
be stopped and repeated.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from megatron_speech.examples.runner.work import Example, Step, Work, folder, run_dir_option


def _options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "packed",
        nargs="?",
        default="",
        help="folder of interleaved/ and interleaved-heldout/, rows of 512 tokens: a miniature's packed/",
    )
    parser.add_argument("--steps", default="300", help="steps of every run (default: 300)")
    run_dir_option(parser, "precision")


def _run(name: str, tokens: int, **precision: str) -> Step:
    settings = {f"precision.{key}": value for key, value in precision.items()}
    return Step(name, "pretrain", "precision/pretrain", {"folder": name, "train.tokens": tokens, **settings})


def _fp8(name: str, tokens: int, fp8: str) -> Step:
    return _run(name, tokens, fp8_emulation="true", fp8=fp8, fp8_recipe=name)


def _steps(steps: int) -> list[Step]:
    tokens = steps * 4 * 512
    return [
        _run("float32", tokens, dtype="float32"),
        _run("bfloat16", tokens),
        # The formats that Transformer Engine's recipes take by themselves: block-wise scales need no E5M2.
        _fp8("delayed", tokens, "hybrid"),
        _fp8("tensorwise", tokens, "hybrid"),
        _fp8("blockwise", tokens, "e4m3"),
        Step("gradients", "gradient_error", "precision/gradients"),
        Step("report", "precision_report", "precision/report", {"last_steps": min(steps, 50)}),
    ]


def _work(options: Namespace) -> Work:
    if not options.packed:
        raise ValueError("the first word must be the folder of packed rows; see --help")
    packed = folder("packed", options.packed)
    if not (options.steps.isascii() and options.steps.isdigit() and int(options.steps) > 0):
        raise ValueError(f"--steps={options.steps} must be a whole number above 0")
    if not (packed / "interleaved").is_dir():
        raise FileNotFoundError(f"{packed} holds no interleaved rows; make them with examples/miniature/run.sh")
    return Work(
        steps=_steps(int(options.steps)),
        folder=folder("--run-dir", options.run_dir),
        links={"packed": packed},
        assets=False,
        threads=2,
        report="report.md",
    )


PRECISION = Example(about=__doc__, options=_options, work=_work)
