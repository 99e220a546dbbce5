"""The exact bytes of a shard's tar: the header of each member, and a walk that accepts nothing else.

A shard is a plain USTAR tar with fixed times, owners and modes, so equal content gives equal bytes. So a header is not
parsed but compared with the only valid one. Extended (PAX, GNU) headers, links, other names or another order are
detected like flipped bits. Limitation: a tar repacked by another program is refused.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from functools import partial

import xxhash

from megatron_speech.data.shards.sidecar import TAR_BLOCK, Member


def member_info(shard: str, block: int, name: str, size: int) -> tarfile.TarInfo:
    """Tar entry of a block's member; WebDataset samples are named ``<shard>-<block>``."""
    info = tarfile.TarInfo(f"{shard.removesuffix('.tar')}-{block:06d}.{name}")
    info.size, info.mode, info.mtime = size, 0o444, 0
    return info


def header(info: tarfile.TarInfo) -> bytes:
    """The 512 bytes before a member's payload."""
    return info.tobuf(tarfile.USTAR_FORMAT)


class TarFault(ValueError):
    """A fault of a tar, with block, member and byte."""

    def __init__(self, what: str, *, block: int, member: str | None, byte: int) -> None:
        super().__init__(what)
        self.block, self.member, self.byte = block, member, byte


def walk(tar: memoryview, *, shard: str, names: Sequence[str]) -> Iterator[dict[str, Member]]:
    """Yield the members of every block, which must be exactly `names` in order.

    Raises:
        TarFault: at the first byte that the writer would not have written.
    """
    # Walk over the blocks, and check headers and padding.
    at = block = 0
    while at + TAR_BLOCK <= len(tar) and not is_zero(tar[at : at + TAR_BLOCK]):
        members = {}
        for name in names:
            size = _size(tar, at, shard=shard, block=block, name=name)
            start, end = Member(at + TAR_BLOCK, size, 0).span
            if end > len(tar):
                raise TarFault(
                    f"truncated: the file ends at byte {len(tar)}, this member at {end}",
                    block=block,
                    member=name,
                    byte=at + TAR_BLOCK,
                )
            if not is_zero(tar[start + TAR_BLOCK + size : end]):
                raise TarFault(f"bytes behind its {size} are not zero", block=block, member=name, byte=at + TAR_BLOCK)
            members[name] = Member(at + TAR_BLOCK, size, xxhash.xxh3_64_intdigest(tar[start:end]))
            at = end
        yield members
        block += 1
    if not block:
        raise TarFault("no block: empty or truncated", block=0, member=None, byte=0)
    # Check the zeros at the end of the tar.
    end = tar_size(at)
    if len(tar) != end or not is_zero(tar[at:]):
        raise TarFault(
            f"{len(tar)} bytes where it must end in zeros at {end}: truncated, or garbage follows",
            block=block - 1,
            member=None,
            byte=at,
        )


def tar_size(end: int) -> int:
    """Size of a tar after its last member ends at byte `end`: two blocks of zeros, rounded up to a record."""
    return -(-(end + 2 * TAR_BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def is_zero(view: memoryview) -> bool:
    """Whether all bytes are zero."""
    return not bytes(view).strip(b"\0")


def _size(tar: memoryview, at: int, *, shard: str, block: int, name: str) -> int:
    """Payload size of the member with its header at byte `at`; raises TarFault for any other header."""
    found = bytes(tar[at : at + TAR_BLOCK])
    damaged = partial(TarFault, block=block, member=name, byte=at)
    try:
        size = tarfile.TarInfo.frombuf(found, "utf-8", "strict").size
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise damaged(f"no tar header ({error}): damaged or truncated") from error
    wanted = member_info(shard, block, name, max(size, 0))
    if found != header(wanted):
        raise damaged(f"not the plain USTAR header of {wanted.name}: damaged, or another file")
    return size
