"""The list of a folder's shards, ``shards.json``: one line per shard, with the checksum of its sidecar.

A sidecar holds the checksums of its tar, and the list holds those of the sidecars. So one short string identifies a
whole folder. Shards are independent of each other, so nothing is merged, however large the corpus.
`index_shards` rebuilds sidecars and list from the tars. Cost: about 200 bytes per shard to parse at every
start, 1 MB for a trillion tokens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from megatron_speech.artifacts.facts.tokens import PackingFacts
from megatron_speech.artifacts.manifest import MANIFEST, read_manifest
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.data.shards.sidecar import FORMAT, REBUILD, Kind, ShardIndex, sidecar
from megatron_speech.storage.interface import FOLDER_INDEX


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One line of the list: a shard."""

    name: str
    """File name of the tar."""
    items: int
    """Number of documents or rows."""
    text_tokens: int
    """Number of text and special ids."""
    speech_tokens: int
    """Number of speech ids."""
    checksum: str
    """xxh3_128 of the sidecar, which holds the checksums of the tar."""

    @classmethod
    def of(cls, shard: ShardIndex) -> ShardEntry:
        """Make the line of a shard from its sidecar."""
        return cls(
            name=shard.shard,
            items=shard.total("items"),
            text_tokens=shard.total("text_tokens"),
            speech_tokens=shard.total("speech_tokens"),
            checksum=shard.checksum,
        )


@dataclass(frozen=True, kw_only=True)
class FolderIndex:
    """All shards of a folder."""

    kind: Kind
    """Kind of items: documents or rows."""
    vocabulary: str
    """Fingerprint of the vocabulary."""
    seq_length: int
    """S of packed rows; 0 for documents."""
    shards: list[ShardEntry]
    """Shards in the order of their names; item numbers run through all shards."""
    facts: PackingFacts = field(default_factory=PackingFacts)
    """What the packer of rows adds."""

    @property
    def items(self) -> int:
        """Number of documents or rows in the folder."""
        return sum(shard.items for shard in self.shards)

    @property
    def text_tokens(self) -> int:
        """Number of text and special ids in the folder."""
        return sum(shard.text_tokens for shard in self.shards)

    @property
    def speech_tokens(self) -> int:
        """Number of speech ids in the folder."""
        return sum(shard.speech_tokens for shard in self.shards)

    @property
    def checksum(self) -> str:
        """Identity of every byte in the folder's shards."""
        return xxhash.xxh3_128_hexdigest("".join(f"{s.name} {s.checksum}\n" for s in self.shards).encode())

    def shard(self, folder: Path, number: int) -> ShardIndex:
        """Sidecar of shard `number`, mapped and checked; ValueError or FileNotFoundError names an unusable one."""
        entry = self.shards[number]
        shard = ShardIndex.load(folder, entry.name, checksum=entry.checksum)
        for key in ("kind", "vocabulary", "seq_length"):
            if getattr(shard, key) != getattr(self, key):
                raise ValueError(
                    f"{sidecar(folder, entry.name)}: {key} {getattr(shard, key)} where {FOLDER_INDEX} has "
                    f"{getattr(self, key)}: a shard of another folder; restore the right one"
                )
        return shard

    def save(self, folder: Path) -> None:
        """Write ``shards.json`` atomically."""
        values = {"format": FORMAT, "kind": self.kind, "vocabulary": self.vocabulary, "seq_length": self.seq_length}
        head = _json({**values, "facts": self.facts.to_json()})
        lines = ",\n".join(_json(vars(shard)) for shard in self.shards)
        path = folder / FOLDER_INDEX
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(_signed(f'{head[:-1]},"shards":[\n{lines}\n]}}'), encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def load(cls, folder: Path) -> FolderIndex:
        """Read ``shards.json``.

        Raises:
            FileNotFoundError: the folder holds no finished shards.
            ValueError: the file is damaged, or has another format version.
        """
        path = folder / FOLDER_INDEX
        if not path.is_file():
            require_token_shards(folder)
            raise FileNotFoundError(
                f"{folder} holds no {FOLDER_INDEX}: not a finished folder of shards; correct the path, or make it again"
            )
        content = path.read_bytes()
        body = b"\n".join(content.split(b"\n")[1:-2])
        if _signed(body.decode(errors="replace")).encode() != content:
            raise ValueError(f"{path}: content does not match its checksum; edited or damaged, {REBUILD}")
        values = json.loads(body)
        if values.pop("format") != FORMAT:
            raise ValueError(f"{path}: another format than {FORMAT}, which this version reads; {REBUILD}")
        facts = PackingFacts.from_json(values.get("facts", {}))
        return cls(**{**values, "facts": facts, "shards": [ShardEntry(**shard) for shard in values["shards"]]})


def require_token_shards(folder: Path) -> None:
    """Raise ValueError if the folder's manifest says that its tars hold recordings."""
    try:
        kind = read_manifest(folder).kind if (folder / MANIFEST).is_file() else None
    except ValueError:  # `against_manifest` reports a damaged manifest
        return
    if kind == "audio":
        raise ValueError(f"{folder} holds audio shards, no token shards; give a folder of documents or packed rows")


def _signed(body: str) -> str:
    """JSON object of a body and its checksum; two are equal only if every byte of the bodies is."""
    return f'{{"checksum":"{xxhash.xxh3_128_hexdigest(body.encode())}","content":\n{body}\n}}\n'


def _json(values: Any) -> str:
    return to_json(values, separators=(",", ":"), ensure_ascii=False)
