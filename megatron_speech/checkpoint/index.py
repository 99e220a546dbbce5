"""Reads the index of a checkpoint folder (torch's ``.metadata``), which says where each tensor lies, without trust.

torch writes the index as a pickle and has no other reader. Here an unpickler accepts only the classes on a list. The
files that the index names must lie in its own folder.
"""

from __future__ import annotations

import io
import pickle
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import Metadata

from megatron_speech.checkpoint.checksums import mend
from megatron_speech.checkpoint.folder import read_file

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
    """The index of `folder`; its checksum is compared first.

    Raises ValueError naming a class that no index needs, a file outside the folder, or the damage.
    """
    path = folder / INDEX
    content = read_file(folder, INDEX)
    try:
        index = _AllowListUnpickler(io.BytesIO(content), path).load()
        if not (isinstance(index, Metadata) and isinstance(index.state_dict_metadata, dict)):
            raise TypeError("another object")
        names = {str(place.relative_path) for place in index.storage_data.values()}
    except _Refused:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path} is no checkpoint index ({type(error).__name__}); {mend(folder)}") from error
    for name in sorted(names):
        if Path(name).name != name:
            raise ValueError(f"{path} names {name}, outside its folder; do not trust this folder")
    return index


class _Refused(ValueError):
    """The index names a class that is not in `_CLASSES`."""


class _AllowListUnpickler(pickle.Unpickler):
    """Unpickler that raises `_Refused` for every class that a checkpoint index does not need."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):
            return self._member
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if not is_dtype and name not in _CLASSES.get(module, ()):
            raise _Refused(
                f"{self._path} asks for {module}.{name}, which no checkpoint index needs; do not trust this folder"
            )
        return super().find_class(module, name)

    def _member(self, kind: Any, name: str) -> Any:
        """A member of an enumeration, which Python 3.11.2 pickles as an attribute of its class."""
        if not (isinstance(kind, type) and issubclass(kind, Enum)) or name not in kind.__members__:
            raise _Refused(
                f"{self._path} asks for an attribute {name!r}, which no index needs; do not trust this folder"
            )
        return kind[name]
