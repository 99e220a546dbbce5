"""Plans what a run of a trillion tokens reads.

Prints two mixtures from the sizes of their sources; needs no data.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from megatron_speech.examples.runner.work import Example, Step, Work


def _options(parser: ArgumentParser) -> None:
    """Without options."""


def _work(options: Namespace) -> Work:
    steps = [
        Step("paper", "plan_mixture", "mixture/paper"),
        Step("stages", "plan_mixture", "mixture/stages"),
    ]
    return Work(steps=steps, folder=Path.cwd(), kept=False, assets=False)


MIXTURE = Example(about=__doc__, options=_options, work=_work)
