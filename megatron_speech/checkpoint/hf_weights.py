"""Reads the weights of a Hugging Face folder tensor by tensor from safetensors files, without trusting the folder.

Nothing here can run code: pickles are refused by name and never opened. The safetensors library checks a header against
the bytes behind it (lengths, offsets, shapes, number formats). An index may name only files of its own folder, and must
agree with every tensor in them. Files are memory-mapped, so one tensor is in memory at a time.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from megatron_speech.artifacts.files import read_json
from megatron_speech.checkpoint.hf_mapping import Shape

logger = logging.getLogger(__name__)

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# Formats that convert to float32 without loss.
_FORMATS = ("F32", "BF16", "F16")
_ADAPTER = re.compile(r"adapter_config\.json|adapter_model\..*")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


@dataclass(frozen=True)
class _Stored:
    file: Path
    shape: Shape


class HuggingFaceWeights:
    """The tensors of a Hugging Face folder; ValueError or FileNotFoundError names what is damaged or missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tensors = _tensors(folder)

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shape of every tensor by name."""
        return {name: stored.shape for name, stored in self._tensors.items()}

    def drop(self, name: str) -> None:
        """Leave the tensor `name` out from now on; nothing happens if there is none."""
        self._tensors.pop(name, None)

    def read(self, name: str) -> Tensor:
        """One tensor, memory-mapped; ValueError if it holds nan or inf."""
        path = self._tensors[name].file
        with safe_open(path, "pt") as file:
            tensor: Tensor = file.get_tensor(name)
        require_finite(tensor, name=f"{path}: tensor {name}", remedy="download the file again or repair the model")
        return tensor


def require_finite(tensor: Tensor, *, name: str, remedy: str) -> None:
    """Raise a ValueError that begins with `name` if the tensor holds nan or inf."""
    # Minimum and maximum are nan if any value is; unlike isfinite(), they need no second tensor.
    if tensor.numel() and not all(torch.isfinite(extreme) for extreme in tensor.aminmax()):
        raise ValueError(f"{name} holds nan or inf; {remedy}")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers would load: the single file, or those in the index.

    Raises ValueError if the folder holds two models, an adapter, or only pickles; FileNotFoundError without weights.
    """
    # An adapter changes the model, and its weights are in another file.
    if adapters := sorted(path.name for path in folder.glob("adapter_*") if _ADAPTER.fullmatch(path.name)):
        raise ValueError(
            f"{folder} holds {adapters[0]}: an adapter, which these weights lack; merge it (merge_and_unload of peft, "
            "then save_pretrained into another folder), or move it away"
        )
    # One file, or several with an index.
    single, index = folder / SINGLE, folder / INDEX
    if single.is_file():
        if index.is_file() and not _is_stale(index):
            raise ValueError(
                f"{folder} holds {SINGLE} and all files of {INDEX}: two models; remove the older of the two"
            )
        return [single]
    if index.is_file():
        return sorted({folder / file for file in _weight_map(folder).values()})
    # No safetensors: say what is there instead.
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise ValueError(
            f"{folder} offers {pickles[0]} and no {SINGLE}: a pickle can run code and is never loaded; "
            "save the model with save_pretrained, which writes safetensors"
        )
    raise FileNotFoundError(f"{folder} holds neither {SINGLE} nor {INDEX}; save the model with save_pretrained first")


def _is_stale(index: Path) -> bool:
    """Whether an index beside a single file can be ignored: it lists only that file, or it is damaged or incomplete."""
    try:
        return set(_weight_map(index.parent).values()) == {SINGLE}
    except (ValueError, FileNotFoundError) as error:
        logger.warning("%s is used and the index beside it ignored: %s", index.with_name(SINGLE), error)
        return True


def _weight_map(folder: Path) -> dict[str, str]:
    """File of each tensor, from the index; ValueError or FileNotFoundError unless every file is in the folder."""
    path = folder / INDEX
    content = read_json(path)
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(file, str) for file in names.values()):
        raise ValueError(f"{path} has no weight_map from tensors to files; download the folder again")
    for file in sorted(set(names.values())):
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise ValueError(f"{path} names {file}, which is no safetensors file of this folder; do not trust it")
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{path} names {file}, which is not there; download the folder again")
    return names


def _tensors(folder: Path) -> dict[str, _Stored]:
    found: dict[str, _Stored] = {}
    for file in weight_files(folder):
        for name, shape in _header(file).items():
            if name in found:
                raise ValueError(f"{file} and {found[name].file.name} both hold {name}; download the folder again")
            found[name] = _Stored(file, shape)
    # Old exports also saved rotary frequencies, which follow from config.json: leave them out.
    kept = {name: stored for name, stored in found.items() if not name.endswith("rotary_emb.inv_freq")}
    if not (folder / SINGLE).is_file():
        weight_map = _weight_map(folder)
        for name, file_name in weight_map.items():
            if name not in found or found[name].file.name != file_name:
                raise ValueError(f"{folder / INDEX}: {name} is not in {file_name}; download the folder again")
        for name, stored in kept.items():
            if name not in weight_map:
                raise ValueError(
                    f"{folder / INDEX} does not know {name} of {stored.file.name}; download the folder again"
                )
    return kept


def _header(path: Path) -> dict[str, Shape]:
    """Shapes of the tensors in a file; ValueError for a damaged header and for a format that float32 cannot hold."""
    shapes: dict[str, Shape] = {}
    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (a method of its own, no dictionary)
                view = file.get_slice(name)
                if view.get_dtype() not in _FORMATS:
                    raise ValueError(
                        f"{path}: tensor {name} is {view.get_dtype()}, not {', '.join(_FORMATS)}; "
                        "save the model unquantised"
                    )
                shapes[name] = tuple(view.get_shape())
    except SafetensorError as error:
        raise ValueError(f"{path} is no sound safetensors file ({error}); download it again") from error
    return shapes
