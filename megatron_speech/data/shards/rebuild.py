"""Rebuilds the sidecars and the list of a folder from its tars alone, with the same bytes as their writer made.

Everything is checked as the writer did, so a tar that passes can be trained on. The tars cannot tell whether they are
the original ones. So they must agree with an intact shards.json and with the manifest; these also supply the packer's
additional facts. Cost: every byte is read.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from megatron_speech.artifacts.facts.tokens import PackingFacts
from megatron_speech.artifacts.manifest import MANIFEST, read_manifest
from megatron_speech.config.inspection.shards import IndexShardsConfig
from megatron_speech.data.shards.contents import MEMBERS, examine
from megatron_speech.data.shards.damage import Damage, against_manifest
from megatron_speech.data.shards.index import FolderIndex, ShardEntry, require_token_shards
from megatron_speech.data.shards.sidecar import BLOCK, MEMBER, Kind, ShardIndex, map_file
from megatron_speech.data.shards.tar_blocks import TarFault, member_info, walk
from megatron_speech.progress import follow
from megatron_speech.storage.interface import FOLDER_INDEX
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def index_shards(config: IndexShardsConfig) -> None:
    """Rewrite all sidecars and shards.json of `config.folder`.

    Raises:
        FileNotFoundError: the folder has no shards, or a shard or vocabulary.json is missing.
        ValueError: a tar holds anything that the writer would not have written, or differs from the one that an
            intact shards.json or the manifest describes.
    """
    folder = config.folder
    if not folder.is_dir():
        raise FileNotFoundError(f"folder: {folder} is no folder; correct the path")
    # Find out which shards there should be.
    listed = _listed(folder)
    require_token_shards(folder)
    names = _shard_names(folder, listed)
    vocabulary = Vocabulary.load(folder / "vocabulary.json")
    if listed is not None:
        vocabulary.require(listed.vocabulary, holder=str(folder / FOLDER_INDEX))
    # Check every tar, and write its sidecar.
    index = FolderIndex(kind="rows", vocabulary=vocabulary.fingerprint, seq_length=0, shards=[])
    for number, name in enumerate(follow(names, f"index_shards {folder.name}", unit="shards", total=len(names))):
        shard, damages = examine_tar(folder / name, vocabulary=vocabulary)
        if shard is None:
            raise ValueError(f"{damages[0]}; the first of {len(damages)} in this shard, restore it")
        if not number:
            index = replace(index, kind=shard.kind, seq_length=shard.seq_length)
        index.shards.append(ShardEntry.of(shard))
        if listed is not None and index.shards[number] != listed.shards[number]:
            raise ValueError(
                f"{folder / name}: not the shard that {FOLDER_INDEX} lists; restore it, "
                f"or remove {FOLDER_INDEX} to take the tars as they are"
            )
        if (shard.kind, shard.seq_length) != (index.kind, index.seq_length):
            raise ValueError(
                f"{folder / name}: {shard.kind} with S={shard.seq_length} beside {index.kind} with "
                f"S={index.seq_length}; a shard of another folder, restore the right one"
            )
        shard.save(folder)
    # Compare the result with the manifest, and write the list.
    if damage := against_manifest(folder, index):
        raise ValueError(f"{damage}; restore the shards, or move the manifest away to take the tars as they are")
    index = replace(index, facts=listed.facts if listed else _manifest_facts(folder, index))
    index.save(folder)
    logger.info("%s: %d shards indexed, checksum %s", folder, len(names), index.checksum)


def examine_tar(path: Path, *, vocabulary: Vocabulary) -> tuple[ShardIndex | None, list[Damage]]:
    """Build the sidecar of the tar at `path`; returns None and all damages if it cannot be trained on."""
    # Check every block, as far as the tar can be parsed.
    tar, seq_length = map_file(path), 0
    damages: list[Damage] = []
    blocks, members = [], []
    try:
        kind = _kind(tar, path.name)
        for number, placed in enumerate(walk(tar, shard=path.name, names=MEMBERS[kind])):
            payloads = {name: tar[at.offset : at.offset + at.size] for name, at in placed.items()}
            if kind == "rows" and not number:
                seq_length = len(payloads["tokens.i32"]) // 4 // max(1, len(payloads["used.i32"]) // 4) - 1
            found = examine(kind, payloads, vocabulary=vocabulary, seq_length=seq_length)
            for member, byte, what in found.faults:
                place = placed[member].offset + byte
                damages.append(Damage(file=path, block=number, member=member, byte=place, what=what))
            blocks.append((found.items, found.text_tokens, found.speech_tokens))
            members.append([tuple(at) for at in placed.values()])
    except TarFault as fault:
        damages.append(Damage(file=path, block=fault.block, member=fault.member, byte=fault.byte, what=str(fault)))
    if damages:
        return None, damages
    shard = ShardIndex(
        shard=path.name,
        kind=kind,
        vocabulary=vocabulary.fingerprint,
        seq_length=seq_length,
        num_bytes=len(tar),
        names=MEMBERS[kind],
        blocks=np.array(blocks, BLOCK),
        members=np.array(members, MEMBER),
    )
    return shard, []


def _manifest_facts(folder: Path, index: FolderIndex) -> PackingFacts:
    """The packer's facts (such as padding) from the manifest of these shards, if there is one.

    Writers of documents add no facts; the rest of their manifests belongs to their stages.
    """
    if index.kind != "rows":
        return PackingFacts()
    stated = read_manifest(folder).facts if (folder / MANIFEST).is_file() else {}
    if "checksum" not in stated:
        logger.warning("%s: no manifest of these shards, so %s will not list padding and cuts", folder, FOLDER_INDEX)
        return PackingFacts()
    return PackingFacts.from_json(stated)


def _kind(tar: memoryview, shard: str) -> Kind:
    """Kind of a tar's items, from the name of its first member."""
    for kind, names in MEMBERS.items():
        first = member_info(shard, 0, names[0], 0).name.encode() + b"\0"
        if bytes(tar[: len(first)]) == first:
            return kind
    raise TarFault(f"does not begin with a block of {shard}: damaged, or another file", block=0, member=None, byte=0)


def _listed(folder: Path) -> FolderIndex | None:
    """The folder's current list; None if it is missing or damaged."""
    try:
        return FolderIndex.load(folder)
    except FileNotFoundError:
        return None
    except ValueError as error:
        logger.warning("%s; made again from the tars", error)
        return None


def _numbered(found: Sequence[str]) -> list[str]:
    """Names of as many shards if none is missing; every prefix (task of a joined folder) counts from 0."""
    counts = Counter(re.sub(r"\d+\.tar$", "", name) for name in found)
    return [f"{prefix}{number:06d}.tar" for prefix, count in sorted(counts.items()) for number in range(count)]


def _shard_names(folder: Path, listed: FolderIndex | None) -> list[str]:
    """Tars of the folder in order; raises an error for a missing or an unknown one."""
    found = sorted(path.name for path in folder.glob("*.tar") if path.is_file())  # excludes dangling links
    if not found:
        raise FileNotFoundError(f"{folder} holds no shards (*.tar); point at a folder of token shards")
    if listed is not None:
        wanted = [shard.name for shard in listed.shards]
    else:
        wanted = _numbered(found)
    for name in wanted:
        if name not in found:
            raise FileNotFoundError(f"{folder / name} is missing, shards are numbered from 0 on; restore it")
    for name in found:
        if name not in wanted:
            raise ValueError(f"{folder / name} is none of the folder's {len(wanted)} shards; move it away")
    return wanted
