"""Readers for recordings in tars: WebDataset tars with transcripts, and tars with a manifest of transcripts."""

from __future__ import annotations

import logging
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from megatron_speech.audio.sources.archive import Members, read_files, read_members
from megatron_speech.audio.sources.columns import Columns
from megatron_speech.audio.sources.layouts import TEXTS, find_times, text_column
from megatron_speech.audio.sources.listed import AUDIO_KINDS, ListedUtterance, key_of_name
from megatron_speech.config.stages.import_speech import ImportSpeechConfig

logger = logging.getLogger(__name__)


def read_tar(path: Path, config: ImportSpeechConfig) -> Iterator[ListedUtterance]:
    """Utterances of a WebDataset tar; raises ValueError if it is damaged or a member is invalid."""
    for members in read_members(path):
        place = members.place(path)
        try:
            row = orjson.loads(members.files.get("json", b"{}").removeprefix(BOM_UTF8))
            words = members.files["txt"].decode("utf-8-sig").rstrip("\r\n") if "txt" in members.files else None
            if not isinstance(row, dict):
                raise ValueError(f"{row!r:.60} is no object")
        except ValueError as error:
            why = f"its .txt is not UTF-8 or its .json no object ({error}); mend it"
            yield ListedUtterance(name=members.key, place=place, audio=None, text=None, defect=("metadata", why))
        else:
            yield _listed(members, row, words, place, config)


def _listed(
    members: Members, row: dict[str, Any], words: str | None, place: str, config: ImportSpeechConfig
) -> ListedUtterance:
    """The utterance from the object of its .json (`row`) and the text of its .txt (`words`)."""
    # Restore the name and the text that a shard of our own has in its .json.
    kinds = [kind for kind in AUDIO_KINDS if kind in members.files]
    name = members.key
    if row.get("id") == name:
        before = str(row.get("source_id"))
        name = before if key_of_name(before) == name else name
        row = {key: value for key, value in row.items() if key not in ("id", "source_id")}
    if words is not None:
        row = {key: value for key, value in row.items() if key != "text" or value != words}
    # Read the row like that of a table.
    text = config.columns.get("text") or text_column(row, TEXTS, place=place, needed=False)
    columns = Columns(
        audio="",
        text=text if words is None else None,
        id=config.columns.get("id"),
        speaker=config.columns.get("speaker"),
        times=find_times(row, config, place=place),
        channel=config.columns.get("channel"),
        metadata=config.metadata,
    )
    listed = columns.streamed(row, place=place, name=name, audio=members.files[kinds[0]] if kinds else b"")
    # Replace what the members decide.
    changes: dict[str, Any] = {"text": listed.text if words is None else words}
    if not kinds:
        changes["audio"] = None
    if members.links:
        why = f"{', '.join(members.links)}: a link or device, which holds nothing; pack the files themselves (tar -h)"
        changes["defect"] = ("link", why)
    elif len(kinds) > 1:
        changes["defect"] = ("several recordings", f"{len(kinds)} recordings, .{', .'.join(kinds)}; leave one")
    return replace(listed, **changes)


@dataclass(frozen=True, kw_only=True)
class TarredRow:
    """A row of a manifest, with its recording in a tar."""

    member: str
    place: str
    name: str
    """Name of the utterance if the row has no id."""
    row: dict[str, Any]


def read_tarred(path: Path, rows: Sequence[TarredRow], columns: Columns) -> Iterator[ListedUtterance]:
    """Utterances of a manifest's `rows`, with recordings in the tar `path`; in the order of the tar.

    NeMo stores a recording of several rows once, and names it ``<name>-sub<n>`` in the further rows. A member with
    exactly that name takes precedence. A row without a member has no audio.

    Raises ValueError if a member repeats, or if two members match a row.
    """
    # Rows by the members that they may mean.
    waiting: dict[str, list[TarredRow]] = {}
    for row in rows:
        for name in {row.member.removeprefix("./"), _without_sub(row.member)}:
            waiting.setdefault(name, []).append(row)
    # Read the tar.
    found: dict[str, str] = {}
    seen: dict[str, int] = {}
    spare = 0
    for number, name, content in read_files(path):
        if name in seen:
            raise ValueError(f"{path}: {name!r} stands twice, as member {seen[name]} and {number}; leave one out")
        seen[name] = number
        spare += name not in waiting
        for row in waiting.get(name, ()):
            if row.member == name and row.name in found:
                raise ValueError(f"{row.place}: {name!r} may be the member {found[row.name]!r} too; rename one")
            if row.name not in found:
                found[row.name] = name
                listed = columns.streamed(row.row, place=row.place, name=row.name, audio=content or b"")
                defect = ("link", f"{name} is a link or device, which holds nothing")
                yield listed if content is not None else replace(listed, audio=None, defect=defect)
    # Rows without a member, and members without a row.
    for row in rows:
        if row.name not in found:
            why = f"{row.member} is no member of {path}; correct the manifest"
            listed = columns.streamed(row.row, place=row.place, name=row.name, audio=b"")
            yield replace(listed, audio=None, defect=("incomplete", why))
    if spare:
        logger.info("%s: %d members are in no row of the manifest, and left out", path, spare)


def _without_sub(member: str) -> str:
    return re.sub(r"-sub\d+(?=\.[^./]*$)", "", member.removeprefix("./"))
