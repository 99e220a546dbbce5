"""GLM-4-9B on a cluster: lists the parameters of every rank, then submits the run.

Options that are not listed here go to sbatch, such as --nodes=16. The run expects under runs/glm4_9b what the
miniature's steps make of full-size inputs: base/ (convert_from_hf) and packed/ (pack_shards).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from examples.runner.work import ROOT, Example, Step, Work

PRETRAIN = Path("examples/glm4_9b/pretrain.yaml")
"""As the cluster's nodes see it, from the root of the repository."""


def _options(parser: ArgumentParser) -> None:
    """Options of sbatch are passed on."""


def _work(options: Namespace) -> Work:
    submit = ("sbatch", "--job-name=glm4_9b", *options.more, "slurm/pretrain.sbatch")
    steps = [
        Step("parameters", "plan_parameters", PRETRAIN, {"num_text_ids": 151552, "num_speech_ids": 16384}),
        Step("submit", "pretrain", PRETRAIN, submit=submit),
    ]
    return Work(steps=steps, folder=ROOT, kept=False, assets=False, environment={})


GLM4_9B = Example(about=__doc__, options=_options, work=_work, passes_on=True)
