"""Files of a text corpus: a single file, all files of a folder, or all that match a pattern, on disk or at a URL."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from megatron_speech.artifacts.left_out import is_companion
from megatron_speech.artifacts.manifest import MANIFEST, PARTIAL, input_ids
from megatron_speech.config.parsing.near_path import did_you_mean
from megatron_speech.config.stages.text_corpus import is_corpus_url
from megatron_speech.corpus.interface import CorpusFile
from megatron_speech.corpus.remote_file import RemoteFile, remote_files
from megatron_speech.corpus.table import READERS

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=CorpusFile)
_PATTERN = re.compile(r"[*?\[]")


def corpus_files(name: str, path: str | Path) -> list[CorpusFile]:
    """Files of the corpus `name` at `path`, sorted by `relative_name`.

    Raises:
        FileNotFoundError: `path` does not exist or holds no file with an ending of READERS.
        ValueError: `path` is a file with another ending, or a link in it leads to a folder or is broken.
    """
    if is_corpus_url(path):
        return _remote(name, str(path))
    path = Path(path)
    _require_led([path])
    if path.is_file():
        _require_kind(name, path)
        return [path]
    if path.is_dir():
        found = list(_below(path))
    elif _PATTERN.search(str(path)):
        matches = _matches(path)
        if not matches:
            raise FileNotFoundError(f"corpora.{name}.path={path} matches no file; correct the pattern")
        found = [file for each in matches for file in (_below(each) if each.is_dir() else [each])]
    else:
        raise FileNotFoundError(f"corpora.{name}.path={path} does not exist; {remedy_of_missing(path)}")
    found = _without_companions(name, path, found)
    _require_led(found)
    files = {file for file in found if file.name.endswith(tuple(READERS)) and file.is_file()}
    if not files:
        raise FileNotFoundError(f"corpora.{name}.path={path} holds no file that ends in {', '.join(READERS)}")
    return sorted(files, key=lambda file: relative_name(file, path))


def relative_name(file: CorpusFile, corpus: str | Path) -> str:
    """Name of a file within its corpus; does not depend on where the corpus is stored."""
    whole, base = str(file), str(corpus).rstrip("/")
    if whole == base:
        return file.name
    if not (whole.startswith(base + "/") and (is_corpus_url(corpus) or Path(corpus).is_dir())):
        base = _PATTERN.split(base)[0].rpartition("/")[0]  # the folder before a pattern
    return whole.removeprefix(base).lstrip("/") if base else whole


def file_ids(files: Iterable[CorpusFile]) -> dict[str, str]:
    """Identity of each file by its path or URL: of the content, or of the server's headers for a remote file."""
    files = list(files)
    local = input_ids([file for file in files if not isinstance(file, RemoteFile)])
    return {str(file): file.identity if isinstance(file, RemoteFile) else local[str(file)] for file in files}


def reads_into(corpus: str | Path, folder: Path) -> bool:
    """Whether files that a tool writes to `folder` would become files of the corpus."""
    if is_corpus_url(corpus):
        return False
    corpus, folder = Path.cwd() / corpus, _real(folder)
    if corpus.is_dir():
        return folder.is_relative_to(_real(corpus))
    if "**" in corpus.parts:
        return folder.is_relative_to(_real(Path(*corpus.parts[: corpus.parts.index("**")])))
    return not corpus.is_file() and (folder / "any.jsonl").match(str(corpus))


def _real(path: Path) -> Path:
    """Absolute path without links; unlike `Path.resolve`, never fails at a link that leads back to itself."""
    return Path(os.path.realpath(path))


def changed_after(files: Iterable[CorpusFile], made_ns: int, ids: Mapping[str, str]) -> CorpusFile | None:
    """First file with another identity than in `ids`, or None.

    Local files are read again only if they were modified after `made_ns` (nanoseconds since the epoch).
    """
    for file in files:
        touched = isinstance(file, RemoteFile) or file.stat().st_mtime_ns > made_ns
        if touched and file_ids([file])[str(file)] != ids[str(file)]:
            return file
    return None


def _matches(pattern: Path) -> list[Path]:
    """Files and folders that match `pattern`; a part that exists under its literal name is not expanded."""
    root = Path(pattern.anchor)
    parts = list(pattern.parts[bool(pattern.anchor) :])
    while len(parts) > 1 and (root / parts[0]).exists():
        root /= parts.pop(0)
    if len(parts) > 1 and not _PATTERN.search(parts[-1]):  # `glob` would skip a broken link of this name
        last = parts.pop()
        return [folder / last for folder in root.glob("/".join(parts)) if os.path.lexists(folder / last)]
    return list(root.glob("/".join(parts)))


def _below(folder: Path) -> list[Path]:
    """All files and folders below `folder`; raises ValueError for a link to a folder."""
    entries = list(folder.rglob("*"))
    if linked := next((entry for entry in entries if entry.is_symlink() and entry.is_dir()), None):
        raise ValueError(
            f"{linked} is a link to a folder, which is not followed; make it a corpus of its own, or link its files"
        )
    return entries


def _without_companions(name: str, corpus: str | Path, found: Iterable[F]) -> list[F]:
    """Files of `found` without the companion files of macOS, which are logged."""
    by_kind: dict[bool, list[F]] = {True: [], False: []}
    for file in found:
        by_kind[is_companion(relative_name(file, corpus))].append(file)
    companions, kept = by_kind[True], by_kind[False]
    if companions:
        names = sorted(relative_name(file, corpus) for file in companions)
        more = ", ..." if len(names) > 3 else ""
        said = f"skipped {len(names)} companion files of macOS: {', '.join(names[:3])}{more}"
        logger.warning("corpora.%s.path=%s: %s", name, corpus, said)
    return kept


def _require_led(files: Iterable[Path]) -> None:
    for file in files:
        if file.is_symlink() and not file.exists():
            raise ValueError(f"{file} is a link to {file.readlink()}, which does not exist; mend or remove the link")


def _remote(name: str, url: str) -> list[CorpusFile]:
    files = remote_files(url)
    if not files:
        what = "matches no file; correct the pattern" if _PATTERN.search(url) else "does not exist; correct the URL"
        raise FileNotFoundError(f"corpora.{name}.path={url} {what}")
    if [file.url for file in files] == [url]:
        _require_kind(name, files[0])
    else:
        files = _without_companions(name, url, files)
    found: list[CorpusFile] = [file for file in files if file.name.endswith(tuple(READERS))]
    if not found:
        raise FileNotFoundError(f"corpora.{name}.path={url} holds no file that ends in {', '.join(READERS)}")
    return found


def _require_kind(name: str, file: CorpusFile) -> None:
    if not file.name.endswith(tuple(READERS)):
        raise ValueError(f"corpora.{name}.path={file} must end in one of {', '.join(READERS)}; convert it")


def remedy_of_missing(path: Path) -> str:
    """Advice about a path that does not exist: it may belong to the unfinished output of a stage."""
    for place in (path, *path.parents):
        if place.name and place.with_name(place.name + PARTIAL).exists():
            return f"{place.name + PARTIAL} is there: run the command that makes it once more, to its end"
        if (place / MANIFEST).is_file():
            return f"{place} was made without it; {did_you_mean(path)}"
    return did_you_mean(path)
