"""Writes a checkpoint of weights alone, tensor by tensor, without a model, a process group or megatron-core.

Counterpart of `checkpoint/weights.py`. All tensors go into one file, with the index and metadata that megatron-core's
loader needs. Any layout can load it. Cost: a rank that needs a slice reads the whole tensor.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint import FileSystemWriter
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.storage import WriteResult

from megatron_speech.artifacts.files import naming_file
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.platform.private_names import storage_info

FILE = "__0_0.distcp"
# metadata.json of megatron-core: its loader checks these values.
_FORMAT = {
    "sharded_backend": "torch_dist",
    "sharded_backend_version": 1,
    "common_backend": "torch",
    "common_backend_version": 1,
}


def write_weights(folder: Path, tensors: Iterable[tuple[str, int | None, Tensor]], *, num_layers: int) -> None:
    """Write each (key, layer or None, whole tensor) as it arrives.

    The caller adds the facts and checksums of `checkpoint/folder.py`.
    """
    # The tensors; the index is collected meanwhile.
    stored: dict[str, TensorStorageMetadata] = {}
    written: list[WriteResult] = []
    with naming_file(folder / FILE), (folder / FILE).open("wb") as file:
        for key, layer, tensor in tensors:
            chunk = tensor if layer is None else tensor[None]
            if chunk.untyped_storage().nbytes() != chunk.nbytes:
                chunk = chunk.clone()  # torch would save all of the memory behind a slice
            shape, start = list(chunk.shape), [0] * chunk.dim()
            if layer is not None:
                shape[0], start[0] = num_layers, layer
            new = TensorStorageMetadata(TensorProperties(dtype=chunk.dtype), torch.Size(shape), [])
            stored.setdefault(key, new).chunks.append(ChunkStorageMetadata(torch.Size(start), chunk.shape))
            begin = file.tell()
            torch.save(chunk, file)
            place = storage_info(FILE, offset=begin, length=file.tell() - begin)
            written.append(WriteResult(MetadataIndex(key, start), place.length, place))
            del tensor, chunk  # before the next one is made
        file.flush()
        os.fsync(file.fileno())
    # The index, and the files that megatron-core's loader expects.
    with naming_file(folder / ".metadata"):
        FileSystemWriter(folder).finish(Metadata(dict(stored)), [written])
    with naming_file(folder / "common.pt"), (folder / "common.pt").open("wb") as file:
        torch.save({}, file)
    (folder / "metadata.json").write_text(to_json(_FORMAT))
