"""The index of a checkpoint folder (torch's ``.metadata``): which tensor lies where, read without trusting it.

torch writes the index as a pickle and offers no other reader. Here it is read by an unpickler that knows an allow-list
of classes and refuses everything else, and the files that it names must lie in its own folder.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import Metadata

INDEX = ".metadata"

_CLASSES = {
    "torch": ("Size",),
    "torch.serialization": ("_get_layout",),
    "pathlib": ("PosixPath",),
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo",),
    "torch.distributed.checkpoint.metadata": (
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    ),
}


def read_index(folder: Path) -> Metadata:
    """The index of `folder`; ValueError names a class that no index needs, or a file outside the folder."""
    path = folder / INDEX
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has lost {INDEX}; go on from an earlier checkpoint")
    with path.open("rb") as file:
        try:
            index = _AllowListUnpickler(file, path).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no checkpoint index ({error}); go on from an earlier checkpoint") from error
    if not isinstance(index, Metadata) or not isinstance(index.storage_data, dict):
        raise ValueError(f"{path} holds no checkpoint index; go on from an earlier checkpoint")
    for place in index.storage_data.values():
        if Path(place.relative_path).name != place.relative_path:
            raise ValueError(f"{path} names {place.relative_path}, outside its folder; do not trust this folder")
    return index


class _AllowListUnpickler(pickle.Unpickler):
    """Reads torch's checkpoint index while refusing any class that has no business in it."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if not is_dtype and name not in _CLASSES.get(module, ()):
            raise ValueError(
                f"{self._path} asks for {module}.{name}, which no checkpoint index needs; do not trust this folder"
            )
        return super().find_class(module, name)
