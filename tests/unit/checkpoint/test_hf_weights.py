"""A Hugging Face folder may come from anyone: whatever is wrong with it is one line that names it, and nothing runs."""

from __future__ import annotations

import json
import pickle
import struct
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from megatron_speech.checkpoint.hf_weights import HuggingFaceWeights, weight_files
from megatron_speech.checkpoint.safetensors_writer import write_safetensors


def write_file(path: Path, header: Any, data: bytes, *, length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def tensor(start: int, end: int, *, shape: tuple[int, ...] = (2,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    data = torch.tensor([1.0, 2.0, 3.0, 4.0]).numpy().tobytes()
    write_file(tmp_path / "model.safetensors", {"a": tensor(0, 8), "b": tensor(8, 16)}, data)
    weights = HuggingFaceWeights(tmp_path)
    assert weights.shapes == {"a": (2,), "b": (2,)}
    assert weights.read("b").tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("header", "size", "length"),
    [
        ({"a": tensor(0, 8)}, 8, 10**9),
        ({"a": tensor(0, 8)}, 8, 2**63),
        ({"a": tensor(0, 8)}, 8, 20),
        ({"a": tensor(0, 8), "b": tensor(4, 12)}, 12, None),
        ({"a": tensor(0, 8), "b": tensor(12, 20)}, 20, None),
        ({"a": tensor(0, 8), "b": tensor(8, 16)}, 12, None),
        ({"a": tensor(0, 8)}, 12, None),
        ({"a": tensor(8, 0)}, 8, None),
        ({"a": tensor(0, 8, shape=(3,))}, 8, None),
        ({"a": tensor(0, 8, shape=(2**40, 2**40))}, 8, None),
        ({"a": tensor(0, 8, dtype="BF16")}, 8, None),
        (b"{not json}", 8, None),
    ],
    ids=[
        "length beyond the file",
        "length beyond any file",
        "length too short",
        "overlap",
        "hole",
        "past the end",
        "bytes left over",
        "backwards",
        "shape of other size",
        "shape that overflows",
        "format of other size",
        "no JSON",
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: Any, size: int, length: int | None) -> None:
    write_file(tmp_path / "model.safetensors", header, b"\0" * size, length=length)
    with pytest.raises(ValueError, match=r"model.safetensors is no sound safetensors file \(") as error:
        HuggingFaceWeights(tmp_path)
    assert "\n" not in str(error.value)


class Trap:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.safetensors"])
def test_a_pickle_is_refused_and_never_loaded(tmp_path: Path, name: str) -> None:
    sprung = tmp_path / "sprung"
    (tmp_path / name).write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(ValueError, match=name):
        HuggingFaceWeights(tmp_path)
    assert not sprung.exists()


def test_an_empty_folder_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds neither model.safetensors nor model.safetensors.index.json"):
        HuggingFaceWeights(tmp_path)


def sharded(folder: Path) -> dict[str, str]:
    """Two files and what their index should say."""
    for number in (1, 2):
        save_file({f"t{number}": torch.full((2,), float(number))}, folder / f"part-{number}.safetensors")
    return {"t1": "part-1.safetensors", "t2": "part-2.safetensors"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t2": "../part-2.safetensors"}, r"names ../part-2.safetensors, which is no safetensors file of this folder"),
        ({"t2": "/etc/passwd"}, r"names /etc/passwd, which is no"),
        ({"t2": "part-2.bin"}, r"names part-2.bin, which is no"),
        ({"t2": "part-3.safetensors"}, r"names part-3.safetensors, which is not there"),
        ({"t2": "part-1.safetensors"}, r"t2 is not in part-1.safetensors"),
        ({"t3": "part-2.safetensors"}, r"t3 is not in part-2.safetensors"),
        ({"t2": 7}, r"has no weight_map from tensors to files"),
    ],
)
def test_a_wrong_index_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    index = tmp_path / "model.safetensors.index.json"
    weight_map = sharded(tmp_path)
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert HuggingFaceWeights(tmp_path).read("t2").tolist() == [2.0, 2.0]
    index.write_text(json.dumps({"weight_map": {**weight_map, **change}}))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        HuggingFaceWeights(tmp_path)


def test_a_tensor_that_the_index_does_not_know_is_refused(tmp_path: Path) -> None:
    weight_map, index = sharded(tmp_path), tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    held = {"t2": torch.zeros(2), "model.layers.0.rotary_emb.inv_freq": torch.zeros(2)}
    save_file(held, tmp_path / "part-2.safetensors")
    assert HuggingFaceWeights(tmp_path).shapes == {"t1": (2,), "t2": (2,)}
    save_file({**held, "t3": torch.zeros(2)}, tmp_path / "part-2.safetensors")
    with pytest.raises(ValueError, match=r"does not know t3 of part-2.safetensors"):
        HuggingFaceWeights(tmp_path)


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    weight_map = sharded(tmp_path)
    save_file({"t1": torch.zeros(2), "t2": torch.zeros(2)}, tmp_path / "part-2.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ValueError, match=r"both hold t1"):
        HuggingFaceWeights(tmp_path)


def test_formats_that_float32_cannot_hold_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, dtype=torch.int8)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="tensor a is I8, not F32, BF16, F16"):
        HuggingFaceWeights(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_is_not_finite_is_refused(tmp_path: Path, value: str, dtype: torch.dtype) -> None:
    damaged = torch.zeros(3, 5, dtype=dtype)
    damaged[1, 2] = float(value)
    save_file({"a": damaged, "b": torch.zeros(2), "none": torch.zeros(0, 2)}, tmp_path / "model.safetensors")
    weights = HuggingFaceWeights(tmp_path)
    assert weights.read("b").tolist() == [0, 0] and weights.read("none").numel() == 0
    with pytest.raises(ValueError, match="tensor a holds nan or inf"):
        weights.read("a")


def test_buffers_of_old_exports_are_left_out(tmp_path: Path) -> None:
    save_file(
        {"a": torch.zeros(2), "model.layers.0.rotary_emb.inv_freq": torch.zeros(2)}, tmp_path / "model.safetensors"
    )
    assert HuggingFaceWeights(tmp_path).shapes == {"a": (2,)}


class InMemory:
    """A tensor as the writer wants it."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor, self.dtype = tensor, tensor.dtype

    def read(self, first: int, end: int, out: torch.Tensor) -> None:
        out.copy_(self.tensor[first:end])


@pytest.mark.parametrize(
    ("dtype", "max_bytes", "files"),
    [
        (torch.float32, 10**9, 1),
        (torch.float32, 4850, 2),  # a (4800 bytes) and b, then c
        (torch.bfloat16, 4850, 1),
        (torch.bfloat16, 1, 3),  # a tensor that is too large gets a file of its own
    ],
)
def test_what_is_written_is_read_by_safetensors(tmp_path: Path, dtype: torch.dtype, max_bytes: int, files: int) -> None:
    ours = {"a": torch.randn(30, 40), "b": torch.randn(7), "c": torch.randn(5, 3)}
    shapes = {name: tuple(each.shape) for name, each in ours.items()}
    # Every tensor from ranges of rows in another order.
    mixed = {name: torch.cat([each[3:], each[:3]]) for name, each in ours.items()}
    tensors = ((name, InMemory(each), [(len(each) - 3, len(each)), (0, len(each) - 3)]) for name, each in mixed.items())
    sums = write_safetensors(tmp_path, tensors, shapes=shapes, dtype=dtype, max_bytes=max_bytes)
    assert {path.name for path in tmp_path.glob("*.safetensors")} == set(sums) and len(sums) == files
    assert (tmp_path / "model.safetensors.index.json").is_file() == (files > 1)
    assert all((tmp_path / name).stat().st_size == each.bytes for name, each in sums.items())
    theirs = {name: each for file in sums for name, each in load_file(tmp_path / file).items()}
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], each.to(dtype)) for name, each in ours.items())
    assert HuggingFaceWeights(tmp_path).shapes == shapes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_that_straddle_or_exceed_the_buffers_arrive_whole(tmp_path: Path, dtype: torch.dtype) -> None:
    ours = {"odd": torch.randn(1999, 1001), "long": torch.randn(2, 3_000_001), "tail": torch.randn(5)}
    write_safetensors(
        tmp_path,
        ((name, InMemory(each), [(0, len(each))]) for name, each in ours.items()),
        shapes={name: tuple(each.shape) for name, each in ours.items()},
        dtype=dtype,
        max_bytes=10**9,
    )
    theirs = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(theirs[name], each.to(dtype)) for name, each in ours.items())


def test_a_failed_write_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    def tensors():
        yield "a", InMemory(torch.zeros(2)), [(0, 2)]
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        write_safetensors(tmp_path, tensors(), shapes={"a": (2,), "b": (2,)}, dtype=torch.float32, max_bytes=10**9)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    "index",
    [
        '{"weight_map": {"t": "model-00001-of-00002.safetensors"}}',
        "{}",
        "[",
        '{"weight_map": {"t": "model.safetensors"}}',
    ],
)
def test_a_single_file_beats_an_index_that_is_left_over(tmp_path: Path, index: str) -> None:
    """As save_pretrained leaves a folder into which it writes one file instead of many."""
    save_file({"t": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]
    assert HuggingFaceWeights(tmp_path).read("t").tolist() == [1.0, 1.0]


def test_two_whole_models_in_one_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": sharded(tmp_path)}))
    save_file({"t1": torch.ones(2), "t2": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model.safetensors and all files of model.safetensors.index.json") as error:
        HuggingFaceWeights(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_that_is_not_merged_is_refused(tmp_path: Path, name: str) -> None:
    for held in ("model.safetensors", name):
        save_file({"t": torch.ones(2)}, tmp_path / held)
        with (
            pytest.raises(ValueError, match=rf"holds {name}: an adapter, .*merge it") if held == name else nullcontext()
        ):
            HuggingFaceWeights(tmp_path)
