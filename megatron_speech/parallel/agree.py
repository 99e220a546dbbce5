"""Runs work on several ranks so that all succeed or all raise the same error, instead of waiting for a failed rank.

There are three ways to run work. Each is collective over the ranks of a process group (None: all ranks).

    `on_every_rank`   Every rank runs it and keeps its own result.
    `on_rank_zero`    The first rank runs it, and all ranks get its result.
    `divided`         Each rank runs its share of the items, and all ranks get all results.

Errors that one rank may meet alone (`SHARED_ERRORS`) are raised on all ranks. Any other error is a mistake in the code:
it ends its own rank, and the launcher ends the others. Ranks send each other results and errors as pickles, which are
never read from a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch.distributed as dist

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(Exception):
    """A signal asked the run to end; finished work is kept."""


SHARED_ERRORS = (ValueError, FloatingPointError, OSError, Stopped)
"""Mistakes of the user, bad numbers, file errors and a stop: one rank may meet them while the others do not."""


def on_every_rank(action: Callable[[], Result], *, group: dist.ProcessGroup | None = None) -> Result:
    """Run `action` on every rank and return this rank's result. The error of the lowest rank is raised on all.

    `action` must not contain a collective: if one rank failed before it, the others would wait in it.
    """
    result, error = _attempt(action)
    errors: list[Exception | None] = [None] * dist.get_world_size(group)
    dist.all_gather_object(errors, error, group=group)
    _raise_first(errors)
    return result  # type: ignore[return-value]  # is None only beside an error, which was raised


def on_rank_zero(action: Callable[[], Result], *, group: dist.ProcessGroup | None = None) -> Result:
    """Run `action` on rank 0 of `group` and return its result on all ranks, or raise its error on all."""
    first = dist.get_rank(group) == 0
    shared: list[Any] = list(_attempt(action)) if first else [None, None]
    own = shared[0]
    dist.broadcast_object_list(shared, group=group, group_src=0)
    _raise_first([shared[1]])
    result: Result = own if first else shared[0]  # rank 0 keeps the object itself
    return result


def divided(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    *,
    stop: Callable[[], bool] = lambda: False,
    group: dist.ProcessGroup | None = None,
) -> list[Result]:
    """Run `work` on every item, each on one rank; return all results in the order of `items`.

    `stop` is called before every item. If it returns True on a rank, that rank starts no further item, and all ranks
    raise `Stopped`.
    """
    rank, size = dist.get_rank(group), dist.get_world_size(group)

    def share() -> list[Result]:
        results = []
        for item in items[rank::size]:
            if stop():
                raise Stopped
            results.append(work(item))
        return results

    gathered: list[Any] = [None] * size
    dist.all_gather_object(gathered, on_every_rank(share, group=group), group=group)
    return [gathered[number % size][number // size] for number in range(len(items))]


def _attempt(action: Callable[[], Result]) -> tuple[Result | None, Exception | None]:
    """(result of `action`, None), or (None, error) for an error of `SHARED_ERRORS`."""
    try:
        return action(), None
    except SHARED_ERRORS as error:
        return None, error


def _raise_first(errors: Sequence[Exception | None]) -> None:
    for error in errors:
        if error is not None:
            raise error
