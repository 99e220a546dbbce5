"""A run goes on with another plan only where both agree on what has been read, and says what differs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.config.run.data import LossConfig, StageConfig
from megatron_speech.data.plan.change import first_conflict, require_same_plan
from megatron_speech.data.plan.plan import Plan
from tests.toy_plans import ROWS, SEQ_LENGTH, planned, stage


def _first(*, stop_at_sample: int | None = None, text: int = 1, **speech: Any) -> StageConfig:
    """A stage of 100 rows."""
    return stage(100 * SEQ_LENGTH, stop_at_sample=stop_at_sample, text={"weight": text}, speech={"weight": 1, **speech})


NEXT = stage(paired={"epochs": 1.0})


@pytest.mark.parametrize(
    ("stages", "consumed"),
    [
        ([_first(), NEXT], 100),  # appended to a run that is done
        ([_first(), NEXT], 30),
        ([_first(stop_at_sample=30), NEXT], 30),  # left at the sample where the run stands
        ([_first(stop_at_sample=31), NEXT], 30),
        ([_first(text=3), NEXT], 0),  # nothing is read yet
    ],
)
def test_later_samples_may_change(stages: list[StageConfig], consumed: int):
    old, new = planned(_first()), planned(*stages)
    with pytest.raises(
        ValueError, match=r"not the run's \(.*was.*data\.extend_plan=true to follow this one after the \d+"
    ):
        require_same_plan(old, new, consumed=consumed, extend=False)
    require_same_plan(old, new, consumed=consumed, extend=True)
    read = np.arange(consumed)
    for one, other in zip(old.locate_many(read), new.locate_many(read), strict=True):
        assert (one == other).all()


def test_a_stage_that_has_not_begun_may_change():
    old = planned(_first(), stage(text={"epochs": 0.1}))
    require_same_plan(old, planned(_first(), NEXT), consumed=100, extend=True)
    with pytest.raises(ValueError, match="stage 1 had begun"):
        require_same_plan(old, planned(_first(), NEXT), consumed=101, extend=True)


@pytest.mark.parametrize(
    ("new", "difference", "conflict"),
    [
        (planned(_first(text=3)), r"stages\[0\] text: 75 rows, was 50 rows", "stage 0 had begun"),
        (planned(_first(stop_at_sample=29)), r"stages\[0\] samples: 29, was 100", "ends before sample 30"),
        (planned(_first(), seed=1), "seed: 1, was 0", "seed decides every sample"),
        (planned(_first(loss=LossConfig(text_weight=0))), r"speech loss: all 0:1, was all 1:1", "stage 0 had begun"),
        (planned(_first(), rows={**ROWS, "text": 1001}), "text rows: 1,001, was 1,000", "stage 0 had begun"),
        (planned(NEXT), r"stages\[0\] text: absent, was 50 rows", "ends before sample 30"),
    ],
)
def test_what_was_read_may_not_change(new: Plan, difference: str, conflict: str):
    for extend in (False, True):
        with pytest.raises(ValueError, match=rf"read 30 samples of another plan \(.*{difference}.*\), .*{conflict}"):
            require_same_plan(planned(_first()), new, consumed=30, extend=extend)


def test_a_stage_that_was_left_does_not_go_on():
    old, new = planned(_first(stop_at_sample=30), NEXT), planned(_first(), NEXT)
    assert first_conflict(old, new, 30) is None
    assert first_conflict(old, new, 31) == "stage 0 ended at sample 30"


def test_names_of_stages_and_new_sources_are_no_change():
    named = StageConfig(name="warm up", tokens=_first().tokens, sources=_first().sources)
    assert planned(named).fingerprint == planned(_first()).fingerprint
    more = planned(_first(), rows={**ROWS, "new": 9})
    assert more.fingerprint != planned(_first()).fingerprint
    require_same_plan(planned(_first()), more, consumed=100, extend=True)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_is_accepted_agrees_on_every_sample_read(data: st.DataObject):
    """Random edits of a random run: no accepted plan reads anything else among the samples that were read."""
    rows = {"text": 37, "speech": 5}
    old_stages = data.draw(st.lists(_STAGES, min_size=1, max_size=3))
    new_stages = [data.draw(st.sampled_from([before, data.draw(_STAGES)])) for before in old_stages]
    try:
        old, new = planned(*old_stages, rows=rows), planned(*new_stages, rows=rows)
    except ValueError:  # a stage that would be left before it begins
        return
    consumed = data.draw(st.integers(0, old.num_samples))
    if first_conflict(old, new, consumed) is None:
        assert consumed <= new.num_samples
        read = np.arange(consumed)
        for one, other in zip(old.locate_many(read), new.locate_many(read), strict=True):
            assert (one == other).all()
    if old_stages == new_stages:
        require_same_plan(old, new, consumed=consumed, extend=False)


_STAGES = st.builds(
    lambda length, weight, stop: stage(
        length * SEQ_LENGTH, stop_at_sample=stop, text={"weight": weight}, speech={"weight": 1}
    ),
    st.integers(1, 30),
    st.integers(1, 3),
    st.none() | st.integers(1, 60),
)
