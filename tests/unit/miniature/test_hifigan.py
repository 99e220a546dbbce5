"""Folding weight norm gives the convolutions that torch's own parametrisation computes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from megatron_speech.miniature.hifigan import SHAPE_KEYS, convert_hifigan, fold_weight_norm


@pytest.mark.parametrize("conv", [nn.Conv1d(3, 5, 7), nn.ConvTranspose1d(4, 2, 6, stride=3)])
def test_folded_weight_is_torchs(conv: nn.Module) -> None:
    normed = torch.nn.utils.parametrizations.weight_norm(conv)
    parts = normed.parametrizations.weight
    parts.original0.data *= 1.7
    state = {"a.weight_g": parts.original0.data, "a.weight_v": parts.original1.data, "a.bias": normed.bias.data}
    folded = fold_weight_norm(state)
    assert folded.keys() == {"a.weight", "a.bias"}
    torch.testing.assert_close(folded["a.weight"], normed.weight.data)


def test_checkpoint_becomes_safetensors(tmp_path: Path) -> None:
    state = {"conv.weight_v": torch.randn(2, 3, 4), "conv.weight_g": torch.rand(2, 1, 1), "conv.bias": torch.zeros(2)}
    torch.save({"generator": state}, tmp_path / "g.pth")
    (tmp_path / "c.json").write_text(json.dumps(dict.fromkeys(SHAPE_KEYS, 1) | {"learning_rate": 1}))
    facts = convert_hifigan(tmp_path / "g.pth", tmp_path / "c.json", tmp_path / "out")
    assert facts.parameters == 26
    assert load_file(tmp_path / "out" / "model.safetensors").keys() == {"conv.weight", "conv.bias"}
    assert "learning_rate" not in json.loads((tmp_path / "out" / "config.json").read_text())


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "g.pth").write_bytes(b"not a zip file")
    with pytest.raises(ValueError, match=r"g\.pth: not a HiFi-GAN checkpoint"):
        convert_hifigan(tmp_path / "g.pth", tmp_path / "c.json", tmp_path / "out")
