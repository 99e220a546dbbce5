"""A run that diverges ends on all ranks with one line, saves nothing of it, and is never done."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import LoggingConfig, PretrainConfig
from tests.ranks import run_ranks
from tests.toy_runs import make_config, make_sources

STEPS = 7  # checkpoints after 3, 6 and 7
LAYOUTS = {
    "pipeline": ParallelConfig(pipeline_model_parallel_size=2),
    "sharded data": ParallelConfig(use_distributed_optimizer=True),
}
# (where a NaN is put, after the update of which step, what the line says, newest checkpoint).
# A master weight reaches the model with the next update.
CASES = [
    ("weight", 7, r"^step 7: after its update a master weight is not finite", "step_6"),
    ("weight", 3, r"^step 3: after its update a master weight is not finite", None),
    ("weight", 4, r"^step [56]: loss or gradient norm is not finite", "step_3"),
    ("moment", 6, r"^step 6: after its update the optimizer's exp_avg is not finite", "step_3"),
    ("held-out", 4, r"^step 4: held-out loss of text is not finite", "step_3"),
    ("held-out", 7, r"^step 7: held-out loss of text is not finite", "step_6"),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_sources(tmp_path_factory.mktemp("sources"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("place", "step", "line", "newest"), CASES)
def test_nothing_that_is_not_finite_is_saved(
    tmp_path: Path, sources: Any, layout: str, place: str, step: int, line: str, newest: str | None
) -> None:
    config = make_config(
        tmp_path / "run",
        sources,
        steps=STEPS,
        parallel=LAYOUTS[layout],
        precision=PrecisionConfig(dtype="bfloat16"),
        logging=LoggingConfig(validation_rows=4, validate_every_steps=2),
    )
    again = rf"go on from the newest checkpoint, .*{newest}, with" if newest else "no checkpoint was saved before"
    run_ranks(_check_diverges, 2, config, place, step, f"{line}.*, and nothing of it was saved; {again}")
    assert not (config.folder / "done.json").exists()
    for name in ("metrics.jsonl", "validation.jsonl"):
        for record in (config.folder / name).read_text().splitlines() if (config.folder / name).exists() else []:
            json.loads(record, parse_constant=pytest.fail)
    folders = sorted((config.folder / "checkpoints").glob("step_*"))
    assert (folders[-1].name if folders else None) == newest


def _check_diverges(
    rank: int, world_size: int, init_method: str, config: PretrainConfig, place: str, step: int, line: str
) -> None:
    from megatron_speech.training import loop
    from megatron_speech.training.run import pretrain
    from megatron_speech.training.validation import Validation

    train_step, score = loop.train_step, Validation.run
    calls = 0

    def spoiling_step(engine: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        result = train_step(engine, *args, **kwargs)
        if calls == step and rank == 1:
            optimizer = engine.optimizer.chained_optimizers[0]
            weight = optimizer.param_groups[0]["params"][0]
            moment = optimizer.optimizer.state[weight]["exp_avg"]
            spoilt = {"weight": weight, "moment": moment}.get(place)
            if spoilt is not None:
                spoilt.data.view(-1)[0] = torch.nan
        return result

    def spoilt_score(self: Any, engine: Any) -> Any:
        found = score(self, engine)
        if place == "held-out" and calls == step:
            found = dataclasses.replace(found, losses={"text": {"text": float("nan")}})
        return found

    loop.train_step, Validation.run = spoiling_step, spoilt_score
    with pytest.raises(FloatingPointError, match=line):
        pretrain(config, world=(rank, world_size), init_method=init_method)
