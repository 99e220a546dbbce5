"""The tar of a shard, byte by byte: what a member's header must be, and a walk that accepts nothing else.

A shard is a plain USTAR tar with fixed times, owners and modes, so that equal content gives equal bytes. Hence a header
is not interpreted but compared with the only one it may be: extended (PAX, GNU) headers, links, other names, another
order and flipped bits are all the same mistake. Price: a tar packed again by another program is refused.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from megatron_speech.data.sidecar import TAR_BLOCK, Member


def member_info(shard: str, block: int, name: str, size: int) -> tarfile.TarInfo:
    """The tar entry of a block's member; WebDataset samples are ``<shard>-<block>``."""
    info = tarfile.TarInfo(f"{shard.removesuffix('.tar')}-{block:06d}.{name}")
    info.size, info.mode, info.mtime = size, 0o444, 0
    return info


def header(info: tarfile.TarInfo) -> bytes:
    """The 512 bytes before the payload."""
    return info.tobuf(tarfile.USTAR_FORMAT)


class TarFault(ValueError):
    """What is wrong with a tar, and where."""

    def __init__(self, what: str, *, block: int, byte: int) -> None:
        super().__init__(what)
        self.block, self.byte = block, byte


class Placed(NamedTuple):
    """A member found by walking; checksums are the caller's."""

    block: int
    name: str
    offset: int
    size: int


def walk(tar: memoryview, *, shard: str, names: Sequence[str]) -> Iterator[Placed]:
    """Every member of every block, each block holding exactly `names` in order.

    Raises:
        TarFault: at the first byte that a writer of ours would not have written.
    """
    at = block = 0
    while at + TAR_BLOCK <= len(tar) and any(tar[at : at + TAR_BLOCK]):
        for name in names:
            size = _size(tar, at, shard=shard, block=block, name=name)
            yield Placed(block, name, at + TAR_BLOCK, size)
            at = Member(at + TAR_BLOCK, size, 0).span[1]
            if at > len(tar):
                raise TarFault(
                    f"truncated inside {name}: {len(tar)} bytes of at least {at}", block=block, byte=len(tar)
                )
        block += 1
    if not block:
        raise TarFault("no block: empty or truncated", block=0, byte=0)
    end = -(-(at + 2 * TAR_BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
    if len(tar) != end or not is_zero(tar[at:]):
        raise TarFault(
            f"after block {block - 1} zeros must follow from byte {at} to {end}: truncated or followed by garbage",
            block=block,
            byte=at,
        )


def is_zero(view: memoryview) -> bool:
    """Whether all bytes are zero."""
    return not bytes(view).strip(b"\0")


def _size(tar: memoryview, at: int, *, shard: str, block: int, name: str) -> int:
    """Payload size of the member whose header must stand at byte `at`."""
    found = bytes(tar[at : at + TAR_BLOCK])
    try:
        size = tarfile.TarInfo.frombuf(found, "utf-8", "strict").size
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise TarFault(f"no tar header of {name} ({error}): damaged or truncated", block=block, byte=at) from error
    wanted = member_info(shard, block, name, size)
    if size < 0 or found != header(wanted):
        raise TarFault(f"not the plain USTAR header of {wanted.name}: another file, or damaged", block=block, byte=at)
    return size
