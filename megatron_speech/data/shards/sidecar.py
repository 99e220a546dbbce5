"""Index of the blocks of one tar: a small binary file of fixed records beside it, ``<shard>.mspx``.

    header | member names | per block: counts | per block and member: offset, size, xxh3_64 | xxh3_128 of all this

A member's checksum covers its tar header, payload and padding, so any changed byte of a shard is detected. A trillion
tokens are about 4,000 shards of 250 blocks. Their members would take gigabytes per rank as Python objects; mapped files
take 0.2 GB, shared by the ranks of a node. Cost: one more open file per shard in use, in a format that needs a tool to
read (`inspect_shards`).
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

Kind = Literal["documents", "rows"]

FORMAT = 2
TAR_BLOCK = 512
"""Tar headers and padded payloads are multiples of this many bytes."""

_MAGIC = b"msp-idx\n"
_HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("format", "<u4"),
        ("members", "<u4"),
        ("blocks", "<i8"),
        ("kind", "S16"),
        ("dtype", "S8"),
        ("seq_length", "<i8"),
        ("num_bytes", "<i8"),
        ("items", "<i8"),
        ("text_tokens", "<i8"),
        ("speech_tokens", "<i8"),
        ("vocabulary", "S64"),
        ("shard", "S80"),
    ]
)
_NAME = np.dtype("S24")
BLOCK = np.dtype([("items", "<i8"), ("text_tokens", "<i8"), ("speech_tokens", "<i8")])
"""Counts of a block."""
MEMBER = np.dtype([("offset", "<i8"), ("size", "<i8"), ("checksum", "<u8")])
"""Position of a member; see `Member`."""
_FOOTER_BYTES = 16


class Member(NamedTuple):
    """One file of a block inside the tar."""

    offset: int
    """First byte of the payload."""
    size: int
    """Bytes of the payload."""
    checksum: int
    """xxh3_64 over header, payload and padding."""

    @property
    def span(self) -> tuple[int, int]:
        """First byte of the member's tar header, and first byte after its padding."""
        return self.offset - TAR_BLOCK, self.offset + -(-self.size // TAR_BLOCK) * TAR_BLOCK


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardIndex:
    """The sidecar of one tar, with B blocks of M members each."""

    shard: str
    """File name of the tar."""
    kind: Kind
    """Kind of items: documents or rows."""
    vocabulary: str
    """Fingerprint of the vocabulary."""
    seq_length: int
    """S of packed rows; 0 for documents."""
    num_bytes: int
    """Size of the tar; another size means that it was truncated or swapped."""
    names: tuple[str, ...]
    """Member names of every block in file order, such as ``tokens.i32``."""
    blocks: NDArray[np.void]
    """[B] records of `BLOCK`, in file order."""
    members: NDArray[np.void]
    """[B, M] records of `MEMBER`."""

    def __len__(self) -> int:
        return len(self.blocks)

    @property
    def items(self) -> NDArray[np.int64]:
        """[B] documents or rows per block."""
        return self.blocks["items"]

    def total(self, count: Literal["items", "text_tokens", "speech_tokens"]) -> int:
        """Sum of a count over all blocks."""
        return int(self.blocks[count].sum())

    def member(self, block: int, name: str) -> Member:
        """Position of member `name` of a block; KeyError if blocks have no such member."""
        if name not in self.names:
            raise KeyError(name)
        return Member(*self.members[block, self.names.index(name)].item())

    @property
    def end(self) -> int:
        """First byte after the last member."""
        return self.member(len(self) - 1, self.names[-1]).span[1]

    def encode(self) -> bytes:
        """Content of the sidecar; the last 16 bytes are the checksum of the rest."""
        header = np.zeros((), _HEADER)
        header["magic"], header["format"], header["dtype"] = _MAGIC, FORMAT, b"<i4"
        header["blocks"], header["members"] = self.members.shape
        for key in ("kind", "vocabulary", "shard"):
            header[key] = getattr(self, key).encode()
        for key in ("seq_length", "num_bytes"):
            header[key] = getattr(self, key)
        for key in ("items", "text_tokens", "speech_tokens"):
            header[key] = self.blocks[key].sum()
        names = np.array([name.encode() for name in self.names], _NAME)
        body = b"".join(part.tobytes() for part in (header, names, self.blocks, self.members))
        return body + xxhash.xxh3_128_digest(body)

    @property
    def checksum(self) -> str:
        """Identity of the sidecar and, through its checksums, of the tar."""
        return self.encode()[-_FOOTER_BYTES:].hex()

    def save(self, folder: Path) -> None:
        """Write the sidecar atomically."""
        path = sidecar(folder, self.shard)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(self.encode())
        temporary.replace(path)  # processes that have mapped the old file keep it

    @classmethod
    def load(cls, folder: Path, shard: str, *, checksum: str | None = None) -> ShardIndex:
        """Map the sidecar of `shard`; `checksum` is the one that it must have.

        Raises:
            FileNotFoundError: it is missing.
            ValueError: it is damaged, has another checksum or format, or belongs to another shard.
        """
        path = sidecar(folder, shard)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; {REBUILD}")
        data = map_file(path)
        body, footer = data[:-_FOOTER_BYTES], data[-_FOOTER_BYTES:]
        stated = bytes(footer).hex()
        if len(data) < _HEADER.itemsize + _FOOTER_BYTES or xxhash.xxh3_128_hexdigest(body) != stated:
            raise ValueError(f"{path}: damaged or truncated, its checksum differs; {REBUILD}")
        if checksum is not None and stated != checksum:
            raise ValueError(
                f"{path}: checksum {stated[:12]} where shards.json states {checksum[:12]}; stale or swapped, {REBUILD}"
            )
        header = np.frombuffer(body, _HEADER, 1)[0]
        if header["magic"] != _MAGIC or header["format"] != FORMAT:
            raise ValueError(f"{path}: format {header['format']} where this version reads {FORMAT}; {REBUILD}")
        if header["shard"].decode() != shard:
            raise ValueError(f"{path}: describes {header['shard'].decode()}, not {shard}; the files were swapped")
        return cls(**_tables(body, header), shard=shard)


REBUILD = "rebuild it with megatron-speech index_shards"


def sidecar(folder: Path, shard: str) -> Path:
    """Path of a tar's sidecar."""
    return folder / (shard.removesuffix(".tar") + ".mspx")


def map_file(path: Path) -> memoryview:
    """Map a file as bytes; it is closed when its last view is released."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:  # an empty file cannot be mapped
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _tables(body: memoryview, header: np.void) -> dict[str, Any]:
    """Fields of a `ShardIndex` from a checked file; arrays are views of it."""
    blocks, members = int(header["blocks"]), int(header["members"])
    at = _HEADER.itemsize
    names = np.frombuffer(body, _NAME, members, at)
    at += names.nbytes
    counts = np.frombuffer(body, BLOCK, blocks, at)
    at += counts.nbytes
    return {
        "kind": header["kind"].decode(),
        "vocabulary": header["vocabulary"].decode(),
        "seq_length": int(header["seq_length"]),
        "num_bytes": int(header["num_bytes"]),
        "names": tuple(name.decode() for name in names.tolist()),
        "blocks": counts,
        "members": np.frombuffer(body, MEMBER, blocks * members, at).reshape(blocks, members),
    }
