"""No file of ours holds NaN or an infinity, which other parsers of JSON refuse."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.artifacts.plain_json import to_json


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (math.nan, "value=nan"),
        ({"a": 1, "b": {"c": [0.0, math.inf]}}, r"b\.c\[1\]=inf"),
        ([{"a": (1, -math.inf)}], r"\[0\]\.a\[1\]=-inf"),
    ],
)
def test_a_number_that_is_not_finite_is_refused_by_its_key(value: Any, key: str) -> None:
    with pytest.raises(ValueError, match=rf"^{key}, which is no finite number"):
        to_json(value)


def test_other_mistakes_keep_their_own_words() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        to_json(circle)
    with pytest.raises(TypeError, match="not JSON serializable"):
        to_json({"a": object()})


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_what_is_written_is_read_by_the_letter_of_the_standard(value: Any) -> None:
    try:
        text = to_json(value)
    except ValueError:
        with pytest.raises(ValueError, match="Out of range"):
            json.dumps(value, allow_nan=False)
        return
    assert json.loads(text, parse_constant=pytest.fail) == value
