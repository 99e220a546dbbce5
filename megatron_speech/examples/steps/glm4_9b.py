"""GLM-4-9B on a cluster: lists the parameters of every rank, plans the run on four clusters, then submits it.

Other options go to sbatch, such as --nodes=16. The folder runs/glm4_9b must hold base/ (made by convert_from_hf) and
packed/ (made by pack_shards), from full-size inputs to the steps of the miniature.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from megatron_speech.examples.runner.work import Example, Step, Work

PRETRAIN = "examples/glm4_9b/pretrain.yaml"
PLAN = "examples/glm4_9b/plan.yaml"
SUBMIT = "slurm/pretrain.sbatch"
"""Paths from the root of the repository, as on the nodes of the cluster."""
CLUSTERS: dict[str, dict[str, object]] = {
    "64_h100": {"gpus": 64, "gpu": "H100"},
    "256_h100": {"gpus": 256, "gpu": "H100"},
    "1024_h100": {"gpus": 1024, "gpu": "H100"},
    # 72 GPUs do not divide the batch of 1024 rows.
    "72_gb300": {"gpus": 72, "gpu": "GB300", "train.global_batch_size": 1152},
}
"""Clusters on which the run is planned, with the settings that each needs."""


def _options(parser: ArgumentParser) -> None:
    """No options of its own: all go to sbatch."""


def _work(options: Namespace) -> Work:
    if not (options.list or Path(SUBMIT).is_file()):
        raise FileNotFoundError(f"{SUBMIT} does not exist; run this from the root of a checkout of the repository")
    submit = ("sbatch", "--job-name=glm4_9b", *options.more, SUBMIT)
    steps = [
        Step("parameters", "plan_parameters", PRETRAIN, {"num_text_ids": 151552, "num_speech_ids": 16384}),
        *(Step(f"plan_{name}", "plan_run", PLAN, {"config": PRETRAIN, **on}) for name, on in CLUSTERS.items()),
        Step("submit", "pretrain", PRETRAIN, submit=submit),
    ]
    return Work(steps=steps, folder=Path.cwd(), kept=False, assets=False, environment={})


GLM4_9B = Example(about=__doc__, options=_options, work=_work, passes_on=True)
