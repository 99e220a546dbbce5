"""FP8 rounding and the recipes' scales, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from megatron_speech.model.fp8_scaling import (
    E4M3,
    E5M2,
    GRADIENT,
    INPUT,
    WEIGHT,
    Blockwise,
    Delayed,
    Tensorwise,
    power_of_two_below,
    round_blocks,
    round_tensor,
    round_to,
    scale_for,
)

ONE = torch.tensor(1.0)


@pytest.mark.parametrize(
    ("dtype", "cases"),
    [
        # E4M3: steps of 1/8 from 1 to 2, of 1/32 below 1/2, of 2 from 16 to 32; smallest 2**-9, largest 448.
        (
            E4M3,
            {
                1.0625: 1.0,  # half-way goes to the even neighbour, below
                1.1875: 1.25,  # and above
                -0.3: -0.3125,
                17: 16,
                19: 20,
                460: 448,
                1e9: 448,
                float("inf"): 448,
                2**-9: 2**-9,
                2**-10: 0,
                1.5 * 2**-10: 2**-9,
            },
        ),
        # E5M2: steps of 1/4 from 1 to 2; smallest 2**-16, largest 57344.
        (
            E5M2,
            {
                1.125: 1.0,
                1.375: 1.5,
                -0.3: -0.3125,
                460: 448,
                500: 512,
                1e9: 57344,
                float("-inf"): -57344,
                2**-16: 2**-16,
                2**-17: 0,
            },
        ),
    ],
)
def test_rounding(dtype: torch.dtype, cases: dict[float, float]) -> None:
    assert round_to(torch.tensor(list(cases)), dtype, scale=ONE).tolist() == list(cases.values())


def test_rounding_happens_at_the_scale() -> None:
    # 3.3 * 64 = 211.2, between 208 and 224 where steps are 16; 7 * 64 is the largest number, and 8 * 64 above it.
    assert round_to(torch.tensor([3.3, 7.0, 8.0]), E4M3, scale=torch.tensor(64.0)).tolist() == [3.25, 7.0, 7.0]


@pytest.mark.parametrize(
    ("amax", "dtype", "scale"),
    [
        (7.0, E4M3, 64.0),
        (7.0, E5M2, 8192.0),
        (0.0, E4M3, 5.0),
        (float("inf"), E4M3, 5.0),
        (float("nan"), E4M3, 5.0),
        (1e-38, E4M3, torch.finfo(torch.float32).max),
    ],
)
def test_scale(amax: float, dtype: torch.dtype, scale: float) -> None:
    assert scale_for(torch.tensor(amax), dtype, otherwise=torch.tensor(5.0)).item() == scale


def test_powers_of_two_are_rounded_down() -> None:
    scales = torch.tensor([64.0, 63.99, 149.33, 1.0, 0.99, 1e-30, 3e38])
    assert power_of_two_below(scales).tolist() == [64.0, 32.0, 128.0, 1.0, 0.5, 2.0**-100, 2.0**127]


def test_tensorwise_scales_by_the_largest_value_of_the_whole_tensor() -> None:
    values = torch.tensor([[3.3, 0.01], [-7.0, 1.0]])
    # 0.01 * 64 = 0.64, between 0.625 and 0.6875. Gradients: 3.3 * 8192 = 27033.6, between 24576 and 28672, and
    # 0.01 * 8192 = 81.92, between 80 and 96.
    assert round_tensor(values, E4M3).tolist() == [[3.25, 0.625 / 64], [-7.0, 1.0]]
    recipe = Tensorwise(E5M2, input_group=None)
    for rounded in recipe.gradient(values):
        assert rounded.tolist() == [[3.5, 80 / 8192], [-7.0, 1.0]]


def test_an_empty_signal_stays_empty() -> None:
    assert not round_tensor(torch.zeros(4, 4), E4M3).any()
    assert not round_blocks(torch.zeros(128, 128), E4M3, (128, 128)).any()


def test_blocks_have_scales_of_their_own() -> None:
    matrix = torch.full((2, 256), 0.7)
    matrix[0, 5], matrix[0, 128], matrix[1, 3], matrix[1, 255] = 3.0, -100.0, 448.0, 7.0
    rounded = round_blocks(matrix, E4M3, (1, 128))
    # Largest 3: 448 / 3 becomes 128, 0.7 * 128 = 89.6 rounds to 88. Largest 100: scale 4, 2.8 to 2.75 and -400,
    # half-way, to -384. Largest 448: scale 1, 0.7 to 0.6875. Largest 7: scale 64, 44.8 to 44.
    expected = torch.tensor([[88 / 128, 2.75 / 4], [0.6875, 44 / 64]]).repeat_interleave(128, 1)
    expected[0, 5], expected[0, 128], expected[1, 3], expected[1, 255] = 3.0, -96.0, 448.0, 7.0
    assert torch.equal(rounded, expected)


def test_blockwise_scales_weights_by_tiles_and_the_rest_along_the_sum() -> None:
    draw = torch.Generator().manual_seed(0)
    x, weight, gradient = (torch.randn(size, generator=draw) for size in ((256, 1, 128), (256, 128), (256, 1, 256)))
    x[3, 0, 7], weight[130, 5], gradient[9, 0, 200] = 1e4, 1e4, 1e4
    recipe = Blockwise(E4M3)
    along_features, along_tokens, tiles = recipe.operands(x, weight, record=True)
    # The outlier costs its own block precision, and nobody else's.
    assert _disturbed(along_features, x, E4M3, (1, 128)) == {(3, 0)}
    assert _disturbed(along_tokens, x, E4M3, (128, 1)) == {(0, 7)}
    assert _disturbed(tiles, weight, E4M3, (128, 128)) == {(1, 0)}
    along_features, along_tokens = recipe.gradient(gradient)
    assert _disturbed(along_features, gradient, E4M3, (1, 128)) == {(9, 1)}
    assert _disturbed(along_tokens, gradient, E4M3, (128, 1)) == {(0, 200)}


def test_delayed_scales_look_back_and_forget() -> None:
    recipe = Delayed(E5M2, history_len=2, group=None)
    weight = torch.tensor([[0.5]])
    scales = []
    for largest in (7.0, 14.0, 7.0, 7.0, 0.0, 0.0, 28.0):
        x = torch.tensor([[largest, -largest / 2]])
        rounded, for_weight_gradient, _ = recipe.operands(x, weight, record=True)
        assert torch.equal(rounded, for_weight_gradient)
        scales.append(recipe.scale[INPUT].item())
    # Two micro-batches of nothing leave the last scale alone.
    assert scales == [64.0, 32.0, 32.0, 64.0, 64.0, 64.0, 16.0]
    assert recipe.scale[WEIGHT].item() == 896.0 and recipe.scale[GRADIENT].item() == 1.0
    assert recipe.amax_history[INPUT].tolist() == [0.0, 28.0]


def test_delayed_rounds_by_the_scale_of_before() -> None:
    recipe = Delayed(E5M2, history_len=4, group=None)
    x, weight = torch.tensor([[3.3]]), torch.tensor([[7.0]])
    first, _, _ = recipe.operands(x, weight, record=True)
    assert first.item() == 3.25  # at scale 1 steps are 1/4
    recipe.operands(torch.tensor([[7.0]]), weight, record=True)
    clipped, _, weight_rounded = recipe.operands(torch.tensor([[14.0]]), weight, record=True)
    assert (clipped.item(), weight_rounded.item()) == (7.0, 7.0)
    assert recipe.gradient(torch.tensor([[3.3]]))[0].item() == 3.5  # at scale 1 steps are 1/2


def test_delayed_forgets_nothing_for_a_pass_without_gradients() -> None:
    recipe = Delayed(E4M3, history_len=4, group=None)
    recipe.operands(torch.tensor([[7.0]]), torch.tensor([[1.0]]), record=True)
    before = [buffer.clone() for buffer in recipe.buffers()]
    recipe.operands(torch.tensor([[100.0]]), torch.tensor([[9.0]]), record=False)
    assert all(torch.equal(*pair) for pair in zip(before, recipe.buffers(), strict=True))


def _disturbed(rounded: Tensor, exact: Tensor, dtype: torch.dtype, block: tuple[int, int]) -> set[tuple[int, int]]:
    """Blocks whose values lie further off than half a step of `dtype` allows for values of ordinary size."""
    rounded, exact = rounded.flatten(0, -2), exact.flatten(0, -2)
    step = torch.finfo(dtype).eps / 2
    off = (rounded - exact).abs() > exact.abs() * step + 1e-4
    rows, columns = off.nonzero(as_tuple=True)
    return set(zip((rows // block[0]).tolist(), (columns // block[1]).tolist(), strict=True))
