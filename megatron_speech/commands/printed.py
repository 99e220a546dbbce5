"""Commands whose result is what they print; each is named as the function of the library that it calls.

Imports stand inside: a command loads what it needs, and no more. It says so while libraries load that take seconds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from megatron_speech.progress import loading, say

if TYPE_CHECKING:
    from megatron_speech.config.inspection.compare_evaluations import CompareEvaluationsConfig
    from megatron_speech.config.inspection.judge import JudgeConfig
    from megatron_speech.config.inspection.plan_mixture import PlanMixtureConfig
    from megatron_speech.config.inspection.plan_parameters import PlanParametersConfig
    from megatron_speech.config.inspection.plan_run import PlanRunConfig
    from megatron_speech.config.inspection.read_aloud import ReadAloudConfig
    from megatron_speech.config.inspection.shards import InspectShardsConfig, VerifyShardsConfig
    from megatron_speech.config.inspection.stream_decode import StreamDecodeConfig
    from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig
    from megatron_speech.config.stages.dry_run import (
        EvaluateCommandConfig,
        PretrainCommandConfig,
        TextToTokenCommandConfig,
    )
    from megatron_speech.config.stages.evaluate import EvaluateConfig
    from megatron_speech.config.stages.generate import GenerateConfig
    from megatron_speech.config.stages.speech_decoder import DecodeConfig
    from megatron_speech.config.stages.stream_speech import StreamSpeechConfig
    from megatron_speech.config.stages.tokenize_speech import EncodeConfig, TokenizeSpeechConfig
    from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
    from megatron_speech.training.questions import ReadTasks


def build_interleaved(config: BuildInterleavedConfig) -> None:
    """Make the shards, or print the number of tasks."""
    with loading("build_interleaved"):
        from megatron_speech.interleave import build
        from megatron_speech.interleave.corpus_shards import interleave_tasks

    if config.run.part == "count":
        print(len(interleave_tasks(config)))
    else:
        build.build_interleaved(config)


def tokenize_speech(config: TokenizeSpeechConfig) -> None:
    """Encode the shards, or print the number of tasks."""
    with loading("tokenize_speech"):
        from megatron_speech.audio.shards import audio_shards
        from megatron_speech.speech_tokenizer.corpus import run
        from megatron_speech.speech_tokenizer.corpus.input import audio_tasks

    if config.run.part == "count":
        print(len(audio_tasks(audio_shards(config.audio), config.tasks)))
    else:
        run.tokenize_speech(config)


def tokenize_text(config: TokenizeTextConfig) -> None:
    """Encode the corpora, or print the number of tasks."""
    with loading("tokenize_text"):
        from megatron_speech.corpus.text_tasks import text_tasks
        from megatron_speech.tokenize_text import run

    if config.run.part == "count":
        print(len(text_tasks(config.corpora, files_per_task=config.files_per_task)))
    else:
        run.tokenize_text(config)


def evaluate(config: EvaluateCommandConfig) -> None:
    """Score models and print the scores as a table, or print what that would see and cost, or the number of tasks."""
    from megatron_speech.artifacts.files import read_json

    with loading("evaluate"):
        from megatron_speech.evaluation import harness
        from megatron_speech.evaluation.dry_run import dry_run
        from megatron_speech.evaluation.score_table import score_table

    if config.dry_run:
        for line in dry_run(config.evaluation):
            print(line)
        return
    if config.models:
        _evaluate_models(config.evaluation)
        return
    harness.evaluate(config.evaluation)
    scores, answers = config.output / "evaluation.json", config.output / "items.jsonl"
    for line in score_table(read_json(scores)):
        print(line)
    print(f"scores: {scores}; answers to each item: {answers}")


def judge(config: JudgeConfig) -> None:
    """Judge the answers, and print the scores and how far judges agree."""
    from megatron_speech.artifacts.files import read_json
    from megatron_speech.evaluation.judging import judge as judging
    from megatron_speech.evaluation.score_table import score_table

    judging.judge(config)
    results = read_json(config.output / "evaluation.json")
    for line in (*score_table(results), *judging.in_words(results)):
        print(line)
    print(f"scores: {config.output / 'evaluation.json'}; verdicts on each answer: {config.output / 'items.jsonl'}")


def _evaluate_models(config: EvaluateConfig) -> None:
    from megatron_speech.evaluation.many_models import evaluate_models, parts_of, results_by_model
    from megatron_speech.evaluation.score_table import score_table

    if config.run.part == "count":
        print(len(parts_of(config)))
        return
    evaluate_models(config)
    if config.run.part != "tasks":
        for model, results in results_by_model(config):
            print("\n".join([model, *score_table(results), ""]))
        print(f"curves: megatron-speech evaluation_curves --folder {config.output}")


def generate(config: GenerateConfig) -> None:
    """Talk to a person, or make samples and print them."""
    if config.codes is None:
        from megatron_speech.chat.terminal import talk

        talk(config)
        return
    with loading("generate"):
        from megatron_speech.evaluation import samples

    for line in samples.samples_in_words(samples.generate(config)):
        print(line)


def encode(config: EncodeConfig) -> None:
    """Encode a recording, and print the codes where no file is to hold them."""
    from megatron_speech.artifacts.plain_json import to_json
    from megatron_speech.speech_tokenizer import one_recording

    made = one_recording.encode(config)
    seconds = len(made.codes) / made.frame_rate
    print(f"{config.output}: {len(made.codes)} codes, {seconds:.1f} s" if config.output else to_json(made.to_json()))


def decode(config: DecodeConfig) -> None:
    """Decode codes to a sound file, and print how long it is."""
    from megatron_speech.speech_decoder import one_recording

    print(f"{config.output}: {one_recording.decode(config):.1f} s of speech")


def inspect_shards(config: InspectShardsConfig) -> None:
    """Print the lines about a folder."""
    from megatron_speech.data.shards import inspect

    for line in inspect.inspect_shards(config):
        print(line)


def verify_shards(config: VerifyShardsConfig) -> None:
    """Print every damage as it is found, then their number, which decides the exit status."""
    from megatron_speech.data.shards import verify

    number = 0
    for number, damage in enumerate(verify.verify_shards(config), start=1):  # noqa: B007
        say(str(damage))
    folders = f"{len(config.folders)} folder{'s' * (len(config.folders) > 1)}"
    print(f"{number or 'no'} damage{'s' * (number > 1)} in {folders}")
    raise SystemExit(1 if number else 0)


def plan_mixture(config: PlanMixtureConfig) -> None:
    """Print the plan, and only then refuse what is read too often."""
    from megatron_speech.data.plan.table import describe, require_epochs
    from megatron_speech.planning import mixture

    plan = mixture.plan_mixture(config)
    print(describe(plan))
    require_epochs(plan, "data.sources")


def plan_parameters(config: PlanParametersConfig) -> None:
    """Print the parameters of every rank, and check them if asked."""
    from megatron_speech.planning import parameters

    for line in parameters.plan_parameters(config):
        print(line)
    if config.check:
        with loading("plan_parameters"):
            from megatron_speech.model.dry_run import check_parameters

        vocabulary, layout = parameters.planned_vocabulary(config), parameters.planned_layout(config)
        checked = check_parameters(config.model, vocabulary=vocabulary, layout=layout)
        print(f"checked: megatron-core builds the same on each of {checked} ranks and in sum")


def compare_evaluations(config: CompareEvaluationsConfig) -> None:
    """Print the comparison."""
    with loading("compare_evaluations"):
        from megatron_speech.evaluation.comparison import compare

    for line in compare.compare_evaluations(config):
        print(line)


def plan_run(config: PlanRunConfig) -> None:
    """Print the plan, and only then refuse a layout that does not fit."""
    from megatron_speech.planning import plan_run as planning

    plan = planning.plan_run(config)
    if config.figure is not None:
        with loading("plan_run"):
            from megatron_speech.planning.plan_figure import draw

        draw(plan, config.figure)
    if config.json:
        from megatron_speech.artifacts.plain_json import to_json

        print(to_json(planning.to_json(plan), indent=1))
    else:
        from megatron_speech.planning.plan_table import print_plan

        print_plan(plan)
    planning.require_fit(plan)


def pretrain(config: PretrainCommandConfig) -> None:
    """Train, or print what the training would do."""
    with loading("pretrain"):
        from megatron_speech.training import run

    if config.dry_run:
        _print_dry_run(config, read_tasks=_task_reader(config))
    else:
        run.pretrain(config.run, read_tasks=_task_reader(config))


def train_text_to_token(config: TextToTokenCommandConfig) -> None:
    """Train a text-to-token model, or print what the training would do."""
    with loading("train_text_to_token"):
        from megatron_speech.training import run

    if config.dry_run:
        _print_dry_run(config)
    else:
        run.train_text_to_token(config)


def _task_reader(config: PretrainCommandConfig) -> ReadTasks | None:
    """What reads the evaluation tasks of a training; loaded only for one that asks any."""
    if config.evaluation is None:
        return None
    from megatron_speech.evaluation.during_training import read_tasks

    return read_tasks


def _print_dry_run(
    config: PretrainCommandConfig | TextToTokenCommandConfig, *, read_tasks: ReadTasks | None = None
) -> None:
    from megatron_speech.training.dry_run import dry_run

    for line in dry_run(config.run, world_size=config.dry_run_world, read_tasks=read_tasks):
        if os.environ.get("RANK", "0") == "0":
            print(line)


def read_aloud(config: ReadAloudConfig) -> None:
    """Read standard input aloud, line by line, to standard output."""
    from megatron_speech.text_normalization import read_aloud

    read_aloud.read_aloud(sys.stdin.buffer, sys.stdout.buffer, language=config.language)


def stream_speech(config: StreamSpeechConfig) -> None:
    """Print a line per block until the speech ends, or nobody reads the lines any more."""
    with loading("stream_speech"):
        from megatron_speech.speech_tokenizer import live

    with _until_nobody_reads():
        live.stream_speech(config, sys.stdin.buffer, lambda line: print(line, flush=True))


def stream_decode(config: StreamDecodeConfig) -> None:
    """Write samples until the codes end, or nobody reads them any more; lines about them go to standard error."""
    with loading("stream_decode"):
        from megatron_speech.speech_decoder import live

    def write(samples: bytes) -> None:
        sys.stdout.buffer.write(samples)
        sys.stdout.buffer.flush()

    with _until_nobody_reads():
        live.stream_decode(config, sys.stdin.buffer, write, lambda line: print(line, file=sys.stderr, flush=True))


@contextmanager
def _until_nobody_reads() -> Iterator[None]:
    """End without an error where nobody reads standard output any more."""
    try:
        yield
    except BrokenPipeError:
        # Python would complain once again when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
