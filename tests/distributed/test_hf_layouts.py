"""Hugging Face -> any layout -> Hugging Face is bit-exact; optimizer state beside the weights is never read."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.index import read_index
from megatron_speech.checkpoint.weights import WeightsReader
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.vocabulary import Vocabulary
from tests import toy_runs
from tests.ranks import run_ranks
from tests.toy_text_models import FAMILIES, export, import_text_model, require_same_weights, tensors, text_model

FLOAT32 = PrecisionConfig(dtype="float32")
LAYOUTS = {
    "tensor 2, sequence": (2, ParallelConfig(tensor_model_parallel_size=2, sequence_parallel=True)),
    "pipeline 2, virtual 2": (
        2,
        ParallelConfig(pipeline_model_parallel_size=2, virtual_pipeline_model_parallel_size=2),
    ),
    "tensor 2, pipeline 2": (4, ParallelConfig(tensor_model_parallel_size=2, pipeline_model_parallel_size=2)),
}
TOKENS = torch.randint(0, 270, (2, 32), generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of every family, imported, and its logits as transformers computes them."""
    folder = tmp_path_factory.mktemp("families")
    for family in FAMILIES:
        here = folder / family
        text_model(here / "text", family, tied=family in ("llama", "qwen3"))
        base, _ = import_text_model(here)
        model = AutoModelForCausalLM.from_pretrained(export(here, base, "reference"), dtype=torch.float32)
        with torch.no_grad():
            torch.save(model(TOKENS).logits.flatten(0, 1), here / "logits.pt")
    return folder


@pytest.mark.parametrize("name", LAYOUTS)
def test_through_a_layout_and_back_is_bit_exact(imported: Path, name: str) -> None:
    world_size, parallel = LAYOUTS[name]
    run_ranks(_check_layout, world_size, imported, name, parallel, timeout=300)
    for family in FAMILIES:
        here = imported / family
        exported = export(here, here / name, f"hf {name}")
        require_same_weights(exported, here / "text", vocabulary=Vocabulary.load(here / "vocabulary"))


def _check_layout(
    rank: int, world_size: int, init_method: str, folder: Path, name: str, parallel: ParallelConfig
) -> None:
    from megatron_speech.checkpoint.distributed.save_load import load_model, save_model
    from megatron_speech.model.builder import build_model
    from megatron_speech.model.forward import forward

    layout = ParallelLayout.of(parallel, world_size=world_size)
    groups.initialize(layout, seed=0, rank=rank, init_method=init_method)
    for family in FAMILIES:
        here = folder / family
        model, vocabulary = folders.read_model_config(here / "base"), Vocabulary.load(here / "vocabulary")
        chunks = build_model(model, vocabulary=vocabulary, parallel=parallel, precision=FLOAT32, seed=3)
        load_model(here / "base", chunks, model=model, vocabulary=vocabulary)
        if parallel.pipeline_model_parallel_size == 1:
            ends = torch.tensor([0, 32, 64], dtype=torch.int32)
            with torch.no_grad():
                ours = forward(chunks[0], tokens=TOKENS, labels=None, cu_seqlens=ends, max_seqlen=32)
            ours = ours.reshape(64, -1)
            first = groups.tensor_parallel_rank() * ours.shape[1]
            theirs = torch.load(here / "logits.pt")[:, first : first + ours.shape[1]]
            assert (ours[:, : theirs.shape[1]] - theirs).abs().max() < 1e-4, family
        save_model(here / name, chunks, model=model, vocabulary=vocabulary)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of two data parallel ranks, distributed optimizer and all, and its vocabulary."""
    folder = tmp_path_factory.mktemp("trained")
    config = toy_runs.make_config(
        folder / "run",
        toy_runs.make_sources(folder),
        steps=1,
        parallel=ParallelConfig(use_distributed_optimizer=True),
    )
    run_ranks(_check_trains, 2, config)
    (folder / "vocabulary").mkdir()
    toy_runs.VOCABULARY.save(folder / "vocabulary" / "vocabulary.json")
    (folder / "vocabulary" / "manifest.json").write_text('{"kind": "vocabulary", "facts": {}}')
    return folder


def _check_trains(rank: int, world_size: int, init_method: str, config: object) -> None:
    from megatron_speech.training.run import pretrain

    pretrain(config, world=(rank, world_size), init_method=init_method)


def test_optimizer_state_is_not_read(trained: Path) -> None:
    checkpoint = trained / "run" / "checkpoints" / "step_1"
    before = tensors(export(trained, checkpoint, "before"))
    state = [place for at, place in read_index(checkpoint).storage_data.items() if at.fqn.startswith("optimizer.")]
    assert sum(place.length for place in state) > 2 * sum(tensor.nbytes for tensor in before.values())
    for place in state:
        with (checkpoint / place.relative_path).open("r+b") as file:
            file.seek(place.offset)
            file.write(b"\0" * place.length)
    after = tensors(export(trained, checkpoint, "after"))
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "model.json"])
def test_damage_is_named_and_nothing_is_written(trained: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(trained / "vocabulary", tmp_path / "vocabulary")
    checkpoint = Path(shutil.copytree(trained / "run" / "checkpoints" / "step_1", tmp_path / "checkpoint"))
    key = "decoder.layers.mlp.linear_fc2.weight"
    place = next(place for at, place in read_index(checkpoint).storage_data.items() if at.fqn == key)
    path = checkpoint / place.relative_path
    content = bytearray(path.read_bytes())
    message = path.name
    if damage == "flip":
        content[place.offset + place.length // 2] ^= 1
        path.write_bytes(content)
        message = f"{path.name}: a chunk of {key} is damaged"
    elif damage == "truncate":
        path.write_bytes(content[:-1])
    elif damage == "delete":
        path.unlink()
    else:
        edited = checkpoint / "model.json"
        edited.write_text(edited.read_text().replace('"num_layers": 2', '"num_layers": 3'))
        message = "model.json does not match its checksum"
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        export(tmp_path, checkpoint)
    assert not (tmp_path / "hf").exists()


def test_a_checkpoint_of_another_shape_is_named(trained: Path, tmp_path: Path) -> None:
    """As when model.json and the weights come from different runs, checksums and all."""
    checkpoint = Path(shutil.copytree(trained / "run" / "checkpoints" / "step_1", tmp_path / "checkpoint"))
    model = folders.read_model_config(checkpoint)
    files = [path for path in checkpoint.iterdir() if path.name != folders.CHECKSUMS]
    for change, message in (
        ({"ffn_hidden_size": 96}, r"decoder.layers.mlp.linear_fc1.weight has shape \[2, 96, 32\].*\[2, 192, 32\]"),
        ({"add_qkv_bias": True}, r"lacks tensor decoder.layers.self_attention.linear_qkv.bias"),
        ({"untie_embeddings_and_output_weights": True}, r"lacks tensor output_layer.weight"),
    ):
        folders.write_facts(
            checkpoint,
            model=dataclasses.replace(model, **change),
            vocabulary=toy_runs.VOCABULARY,
            state=folders.read_state(checkpoint),
        )
        folders.write_checksums(checkpoint, folders.checksums(files))
        with pytest.raises(ValueError, match=message):
            export(trained, checkpoint, "other")
    assert not (trained / "other").exists()


def test_every_weight_of_a_run_is_known(trained: Path) -> None:
    """What the reader calls weights is the model, and nothing of the optimizer or the generators."""
    shapes = WeightsReader(trained / "run" / "checkpoints" / "step_1").shapes
    assert all(key.startswith(("decoder.", "embedding.")) for key in shapes)
