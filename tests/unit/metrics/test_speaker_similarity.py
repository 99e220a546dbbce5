"""Voices are compared by the embeddings of a network, which a plain computation gives as well."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from megatron_speech.metrics.speaker_similarity import FRAMES, LAYERS, MELS, SIZE, SpeakerEncoder, pieces

REAL = Path(__file__).resolve().parents[3] / ".cache/assets/speaker-encoder"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network."""
    random = torch.Generator().manual_seed(1)
    shapes = {"linear.weight": (SIZE, SIZE), "linear.bias": (SIZE,)}
    for layer in range(LAYERS):
        shapes |= {f"lstm.weight_ih_l{layer}": (4 * SIZE, SIZE if layer else MELS)}
        shapes |= {f"lstm.weight_hh_l{layer}": (4 * SIZE, SIZE)}
        shapes |= {f"lstm.bias_{part}_l{layer}": (4 * SIZE,) for part in ("ih", "hh")}
    folder = tmp_path_factory.mktemp("encoder")
    weights = {name: torch.randn(shape, generator=random) / 16 for name, shape in shapes.items()}
    save_file(weights, folder / "model.safetensors")
    return folder


def noise(seconds: float, *, seed: int = 0, level: float = 0.1) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal(int(seconds * 16000))
    return (level * drawn).astype(np.float32)


@pytest.mark.parametrize(("seconds", "number"), [(0.1, 1), (1.6, 1), (1.9, 1), (2.0, 2), (2.5, 2), (3.0, 3)])
def test_pieces_overlap_and_the_last_has_sound(seconds: float, number: int):
    assert pieces(noise(seconds)).shape == (number, FRAMES, MELS)


def test_an_embedding_is_that_of_a_plain_computation(folder: Path):
    weights = {name: value.double().numpy() for name, value in load(folder).items()}
    clip = noise(2.5)
    means = np.zeros(SIZE)
    for piece in pieces(clip).double().numpy():
        rows = piece
        for layer in range(LAYERS):
            rows = plain_lstm(rows, weights, layer)
        raw = np.maximum(weights["linear.weight"] @ rows[-1] + weights["linear.bias"], 0)
        means += raw / np.linalg.norm(raw)
    expected = means / np.linalg.norm(means)
    assert SpeakerEncoder(folder).embed(clip) == pytest.approx(expected, abs=1e-5)


def load(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def plain_lstm(rows: np.ndarray, weights: dict[str, np.ndarray], layer: int) -> np.ndarray:
    """The equations of an LSTM, one row after the other."""
    inner, outer = (weights[f"lstm.weight_{part}_l{layer}"] for part in ("ih", "hh"))
    bias = weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"]
    state, memory, states = np.zeros(SIZE), np.zeros(SIZE), []
    for row in rows:
        enter, forget, new, leave = np.split(inner @ row + outer @ state + bias, 4)
        memory = sigmoid(forget) * memory + sigmoid(enter) * np.tanh(new)
        state = sigmoid(leave) * np.tanh(memory)
        states.append(state)
    return np.array(states)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_a_clip_resembles_itself_however_quiet_it_is(folder: Path):
    encoder = SpeakerEncoder(folder)
    clip = noise(2.0, level=0.02)
    assert encoder.similarity(clip, clip) == pytest.approx(1, abs=1e-5)
    assert encoder.embed(clip / 100) == pytest.approx(encoder.embed(clip), abs=1e-4)
    assert np.isfinite(encoder.embed(np.zeros(16000, np.float32))).all()


def test_loading_draws_no_random_numbers(folder: Path):
    before = torch.get_rng_state()
    SpeakerEncoder(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_folder_of_another_kind_is_one_line(tmp_path: Path, folder: Path):
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors of a speaker encoder"):
        SpeakerEncoder(tmp_path)
    save_file({"linear.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model.safetensors: no weights of a speaker encoder; [^\n]*$"):
        SpeakerEncoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="no weights of a speaker encoder"):
        SpeakerEncoder(tmp_path)
    with pytest.raises(ValueError, match="drop empty clips"):
        SpeakerEncoder(folder).embed(np.zeros(0, np.float32))


def test_the_recipe_keeps_the_weights_of_the_network_alone(tmp_path: Path, folder: Path):
    from megatron_speech.miniature.unpack import RECIPES

    weights = load(folder)
    (tmp_path / "resemblyzer").mkdir()
    state = {"model_state": {**weights, "similarity_bias": torch.zeros(1)}, "optimizer_state": {}, "step": 1}
    torch.save(state, tmp_path / "resemblyzer" / "pretrained.pt")
    (recipe,) = (each for each in RECIPES if each.name == "speaker-encoder")
    (tmp_path / "out").mkdir()
    facts = recipe.convert(tmp_path, tmp_path / "out")
    assert load(tmp_path / "out").keys() == weights.keys()
    assert facts.parameters == sum(value.numel() for value in weights.values())
    assert SpeakerEncoder(tmp_path / "out").similarity(noise(1), noise(1)) == pytest.approx(1, abs=1e-5)
