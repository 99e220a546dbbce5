"""Budgets of stages: exact, adding up, refused where they cannot; and sources that go on from stage to stage."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.config.run.data import LossConfig, ShareConfig, StageConfig
from megatron_speech.data.plan.plan import Plan
from megatron_speech.data.plan.table import describe, require_epochs
from tests.toy_plans import ROWS, SEQ_LENGTH, planned, stage


def read_by(plan: Plan) -> dict[str, list[int]]:
    """Rows of each source in the order in which the whole plan reads them."""
    source, row = plan.locate_many(np.arange(plan.num_samples))
    names = np.array([entry.name for entry in plan.sources])[source]
    return {name: row[names == name].tolist() for name in {entry.name for entry in plan.sources}}


def test_every_kind_of_share_is_whole_rows_that_add_up():
    (mixed,) = planned(
        stage(
            100 * SEQ_LENGTH,
            text={"remainder": True},
            speech={"share": 0.3},
            paired={"epochs": 2.0},
        )
    ).stages
    assert list(mixed.budgets.values()) == [56, 30, 14]
    (weighted,) = planned(
        stage(99 * SEQ_LENGTH + 1, text={"weight": 2}, speech={"weight": 1}, paired={"tokens": 3 * SEQ_LENGTH + 1})
    ).stages
    assert list(weighted.budgets.values()) == [64, 32, 4]  # 96 rows of the 100 are left
    (exact,) = planned(stage(speech={"epochs": 1.0}, paired={"epochs": 1.0})).stages
    assert list(exact.budgets.values()) == [50, 7]


@settings(deadline=None, max_examples=50)
@given(
    tokens=st.integers(2000, 20_000),
    epochs=st.floats(0, 2),
    weights=st.lists(st.floats(0.01, 100), min_size=2, max_size=2),
    fixed=st.integers(0, 400),
)
def test_a_stages_rows_are_its_tokens(tokens: int, epochs: float, weights: list[float], fixed: int):
    rows = {**ROWS, "more": 300}
    shares: dict[str, dict[str, Any]] = {"paired": {"epochs": epochs}, "speech": {"tokens": fixed}}
    shares |= {"text": {"weight": weights[0]}, "more": {"weight": weights[1]}}
    (made,) = planned(stage(tokens, **shares), rows=rows).stages
    paired, speech, text, more = (made.budgets[list(rows).index(name)] for name in shares)
    assert made.samples == -(-tokens // SEQ_LENGTH) == paired + speech + text + more
    assert -1e-9 <= epochs * 7 - paired < 1 and speech == -(-fixed // SEQ_LENGTH)
    assert abs(text - (text + more) * weights[0] / sum(weights)) <= 1


@settings(deadline=None, max_examples=40)
@given(data=st.data(), seed=st.integers(0, 3))
def test_sources_go_on_where_the_last_stage_left_them(data: st.DataObject, seed: int):
    """However the mixture changes, also in the middle of a stage: every row once per epoch, none lost."""
    rows = {"text": 90, "speech": 11, "paired": 300}
    stages, first = [], 0
    for _ in range(data.draw(st.integers(1, 4))):
        weights = {name: {"weight": data.draw(st.integers(1, 9))} for name in rows if data.draw(st.booleans())}
        if not weights:
            continue
        length = data.draw(st.integers(1, 120))
        stop = data.draw(st.none() | st.integers(1, length))
        stages.append(stage(length * SEQ_LENGTH, stop_at_sample=stop and first + stop, **weights))
        first += stop or length
    if not stages:
        return
    plan = planned(*stages, rows=rows, seed=seed)
    assert plan.num_samples == first
    alone = {name: _alone(name, rows, seed) for name in rows}
    for name, found in read_by(plan).items():
        assert found == alone[name][: len(found)], "the sequence of a source must not depend on the mixture"
    source, _ = plan.locate_many(np.arange(first))
    for number in (0, first // 2, first):
        counts = np.bincount(source[:number], minlength=len(plan.sources))
        assert plan.consumed(number) == {entry.name: counts[i] for i, entry in enumerate(plan.sources)}


def _alone(name: str, rows: dict[str, int], seed: int) -> list[int]:
    """What a run of this source alone reads, checked to be whole epochs."""
    plan = planned(stage(**{name: {"tokens": 500 * SEQ_LENGTH}}), rows={name: rows[name]}, seed=seed)
    found = read_by(plan)[name]
    for start in range(0, len(found) - rows[name], rows[name]):
        assert sorted(found[start : start + rows[name]]) == list(range(rows[name]))
    return found


def test_a_source_may_come_later_and_teach_something_else():
    plan = planned(
        stage(text={"tokens": 40 * SEQ_LENGTH}, speech={"tokens": 20 * SEQ_LENGTH}),
        stage(
            60 * SEQ_LENGTH,
            speech={"remainder": True, "loss": LossConfig(speech_weight=0)},
            paired={"epochs": 1.0},
        ),
    )
    assert [(entry.name, entry.loss.speech_weight) for entry in plan.sources] == [
        ("text", 1),
        ("speech", 1),
        ("paired", 1),
        ("speech", 0),
    ]
    source, row = plan.locate_many(np.arange(plan.num_samples))
    assert set(source[:60].tolist()) == {0, 1} and set(source[60:].tolist()) == {2, 3}
    spoken = row[(source == 1) | (source == 3)]
    assert sorted(spoken[:50].tolist()) == list(range(50))  # the other loss goes on with the same rows
    assert plan.consumed(plan.num_samples) == {"text": 40, "speech": 73, "paired": 7}


def test_a_stage_that_is_left_early_keeps_its_order():
    whole = planned(stage(200 * SEQ_LENGTH, text={"weight": 1}, speech={"weight": 1}))
    change = stage(50 * SEQ_LENGTH, text={"remainder": True})
    cut = planned(stage(200 * SEQ_LENGTH, stop_at_sample=77, text={"weight": 1}, speech={"weight": 1}), change)
    assert cut.num_samples == 127
    for one, other in zip(whole.locate_many(np.arange(77)), cut.locate_many(np.arange(77)), strict=True):
        assert (one == other).all()
    text = read_by(cut)["text"]
    assert len(set(text)) == len(text) == cut.consumed(77)["text"] + 50


def test_numbers_of_windows_are_constants_of_the_plan():
    plan = planned(stage(200 * SEQ_LENGTH, text={"weight": 1}, speech={"weight": 1}))
    stored = plan.to_json()
    assert stored["order"] == {"window": 4096, "chunk": 128, "open_chunks": 64}
    assert Plan.from_json(stored) == plan
    other = Plan.from_json({**stored, "order": {**stored["order"], "window": 64}})
    assert other.fingerprint != plan.fingerprint


def test_limits_mean_the_decimal_that_was_written():
    """Regression: 60 of 50 rows are 1.2 epochs, although the float 1.2 is a little less."""
    require_epochs(planned(stage(speech={"tokens": 60 * SEQ_LENGTH}), speech={"max_epochs": 1.2}), "data.sources")
    (made,) = planned(stage(speech={"epochs": 1.2})).stages
    assert made.samples == 60


def test_epochs_count_over_all_stages():
    stages = [stage(speech={"epochs": 0.6}, text={"epochs": 0.1}) for _ in range(2)]
    require_epochs(planned(*stages, speech={"max_epochs": 1.2}), "data.sources")
    with pytest.raises(
        ValueError,
        match=r"^data.sources: text: 200 of 1,000 rows, 0\.20 epochs = 0\.10 \+ 0\.10; "
        r"speech: 60 of 50 rows, 1\.20 epochs = 0\.60 \+ 0\.60 \(max_epochs=1\) TOO MANY; .*raise its max_epochs",
    ):
        require_epochs(planned(*stages, speech={"max_epochs": 1}), "data.sources")
    assert describe(planned(*stages, speech={"max_epochs": 1})).endswith("too many epochs: speech")


def test_the_table_counts_epochs_through_the_stages():
    first, second = stage(speech={"epochs": 1.5}), stage(speech={"epochs": 0.5}, text={"epochs": 0.1})
    lines = describe(planned(first, second)).splitlines()
    blocks = [index for index, line in enumerate(lines) if line.startswith(("stage", "all stages"))] + [len(lines)]
    assert [lines[start + 1].split() for start in blocks[:2]] == [
        ["speech", "50", "75", "1.2K", "100.0%", "1.50", "1.50", "100%", "all", "1:1"],
        ["speech", "50", "25", "400", "20.0%", "0.50", "2.00", "100%", "all", "1:1"],
    ]
    assert [line.split()[:3] for line in lines[blocks[2] + 1 :]] == [
        ["text", "1,000", "100"],
        ["speech", "50", "100"],
        ["paired", "7", "0"],
        ["total", "200", "3.2K"],
    ]
    assert all(len(one) == len(other) for one, other in pairwise(lines[-4:-1]))


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (
            {"text": {"epochs": 1.0}, "speech": {"weight": 1}},
            r"=1600 are 100 rows, but .* ask for 900 more \(text",
        ),
        ({"text": {"share": 1.0}, "speech": {"weight": 0}, "paired": {"tokens": 1}}, r"ask for 1 more"),
        ({"text": {"weight": 0}}, r"data\.stages\[0\]: all weights are 0, and 100 rows are left"),
    ],
)
def test_what_does_not_add_up_is_refused(shares: dict[str, dict[str, Any]], message: str):
    with pytest.raises(ValueError, match=message):
        planned(stage(1600, **shares))


def test_impossible_runs_are_refused():
    with pytest.raises(ValueError, match=r"data\.stages\[0\] reads no row"):
        planned(stage(speech={"epochs": 0.001}))
    with pytest.raises(ValueError, match="source text has no rows; pack it again"):
        planned(stage(text={"tokens": 1}), rows={"text": 0})
    for values in ({"max_epochs": float("inf")}, {"max_epochs": -1}, {"weight": float("nan")}):
        with pytest.raises(ValueError, match=r"data\.sources\.text: weight=.* and max_epochs=.* must lie in 0 to 1e15"):
            planned(stage(text={"tokens": 1}), text=values)
    huge = stage((1 << 31) * SEQ_LENGTH, text={"weight": 1})
    assert planned(huge).num_samples == 1 << 31
    with pytest.raises(ValueError, match=r"data\.stages\[1\]: the run would have 2,147,483,649 rows, above .* longer"):
        planned(huge, stage(text={"tokens": 1}))
    with pytest.raises(ValueError, match=r"data\.stages\[1\]\.stop_at_sample=100 must lie behind .* first sample 100"):
        planned(stage(text={"tokens": 1600}), stage(stop_at_sample=100, text={"tokens": 1600}))
    with pytest.raises(ValueError, match=r"stop_at_sample=201 lies behind the stage's last sample 200; lower it"):
        planned(stage(text={"tokens": 1600}), stage(stop_at_sample=201, text={"tokens": 1600}))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: planned(stage(text={})), r"data\.stages\[0\]\.sources\.text takes one of .* but has none; give one"),
        (
            lambda: planned(stage(text={"epochs": 1}), stage(text={"epochs": 1}, speech={"weight": 1, "epochs": 1})),
            r"data\.stages\[1\]\.sources\.speech takes one of .* but has weight, epochs; keep one",
        ),
        (lambda: planned(stage(text={"remainder": True, "tokens": 1})), "but has tokens, remainder; keep one"),
        (
            lambda: planned(StageConfig(name="warm", tokens=9, sources={"text": ShareConfig(share=1.5)})),
            r"data\.stages\[0\] \(warm\)\.sources\.text\.share=1\.5 must lie in 0 to 1",
        ),
        (lambda: planned(stage(text={"epochs": float("nan")})), r"sources\.text\.epochs=nan must lie in 0 to"),
        (lambda: planned(stage(100)), r"data\.stages\[0\]\.sources is empty"),
        (lambda: planned(stage(text={"weight": 1})), r"data\.stages\[0\]\.tokens is missing"),
        (lambda: planned(stage(100, text={"epochs": 1})), "no source takes what is left"),
        (lambda: planned(stage(100, text={"share": 0.5})), "no source takes what is left"),
        (lambda: planned(stage(0, text={"weight": 1})), r"data\.stages\[0\]\.tokens=0 must be at least 1"),
        (lambda: planned(stage(100, text={"weight": 1}, speech={"remainder": True})), "leaves nothing to another"),
        (lambda: planned(stage(other={"epochs": 1})), r"data\.stages\[0\]\.sources\.other is none of data\.sources"),
        (
            lambda: planned(stage(text={"epochs": 1}), text={"weight": 2}),
            r"weight=2 has no meaning beside data\.stages",
        ),
    ],
)
def test_contradictions_are_named(build: Any, message: str):
    with pytest.raises(ValueError, match=message):
        build()
