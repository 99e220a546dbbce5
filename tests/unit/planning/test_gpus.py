"""Data sheets are consistent, and a name that has none is refused with the known ones."""

from __future__ import annotations

import pytest

from megatron_speech.planning.gpus import gpu, gpu_names
from megatron_speech.planning.stacks import stack


@pytest.mark.parametrize("name", gpu_names())
def test_no_chip_keeps_up_more_than_its_peak(name: str) -> None:
    chip = gpu(name)
    for precision in chip.precisions:
        assert 0.45 < chip.matrix_rate(precision) / chip.peak(precision) <= 1
    assert chip.source


def test_a_beginning_finds_a_chip() -> None:
    assert gpu("h100").name == "H100-SXM-80GB"
    assert gpu("GB300").watts == 1400


def test_a_beginning_of_several_models_is_refused() -> None:
    assert gpu("H100-9").name == "H100-96GB-500W"
    with pytest.raises(ValueError, match=r"^gpu=H is the beginning of H100, H200; name one"):
        gpu("H")


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"^gpu=H1000 has no data sheet; did you mean H100\? known are A100-SXM-80GB, .*GB300"
    ):
        gpu("H1000")
    with pytest.raises(ValueError, match=r"^gpu= has no data sheet; "):
        gpu("")
    with pytest.raises(ValueError, match=r"^stack=x is not described; known are bridge"):
        stack("x")
    with pytest.raises(ValueError, match=r"^precision=nvfp4 does not exist on H100-SXM-80GB; choose bf16, fp8"):
        gpu("H100").peak("nvfp4")
