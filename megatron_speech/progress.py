"""Shows on standard error how far work is: a bar on a terminal, plain lines elsewhere.

    for shard in follow(shards, "index_shards books", unit="shards"): ...

    with Progress("encode train", unit="s of speech", total=3600) as progress:
        progress.add(12.5)

A thread looks at the counts, so work without counts is not silent either: it says how long it has taken. Worker
processes and ranks other than 0 show nothing. Limitation: a library that computes long without releasing Python's lock
delays the next line.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")

PART_OF_EXAMPLE = "MEGATRON_SPEECH_PART_OF_EXAMPLE"
"""Environment variable of the steps of an example, which need not say what to do next."""

FIRST_S, LONGEST_S = 5.0, 60.0
"""Seconds to the second plain line, and the longest pause between two; each pause is twice the one before."""
LATE_S = 1.5
"""Seconds before work is shown that seldom takes so long."""
REFRESH_S = 0.2
"""Seconds between two looks at the counts on a terminal."""


@dataclass(frozen=True)
class Count:
    """How much of some work is done."""

    done: float = 0.0
    """Number of things."""
    share: float | None = None
    """Share of the whole work, from 0 to 1; None if it is not known."""
    early: float = 0.0
    """The part of `share` that took no time, because an earlier attempt had finished it."""


class Progress:
    """Counts what is done, and shows the count while its context is open.

    Args:
        about: what is done to what, such as "tokenize_text books".
        unit: plural of what is counted; empty if nothing is.
        total: number of all things; None if it is not known.
        done: number of things that an earlier attempt had finished.
        count: computes the count; without it, `add` and `share` give it.
        late: show nothing before LATE_S seconds, for work that seldom takes so long.
    """

    def __init__(
        self,
        about: str,
        *,
        unit: str = "",
        total: float | None = None,
        done: float = 0.0,
        count: Callable[[], Count] | None = None,
        late: bool = False,
    ) -> None:
        self.about, self.unit, self.total = about, unit, total
        self.done = done
        self.share: float | None = None
        """Share of the work that is done; to be set where `total` is not known."""
        self.note = ""
        """What is being done now, or a value such as the loss; shown behind the counts."""
        self.count = count or self._own_count
        self.late = late
        self._early = done
        self._begun = time.monotonic()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._whole = False

    def add(self, number: float = 1) -> None:
        """Count `number` more things."""
        self.done += number

    @property
    def seconds(self) -> float:
        """Seconds since the context was entered."""
        return time.monotonic() - self._begun

    def left_in_words(self) -> str:
        """Time left: "about 40 s left"."""
        left = seconds_left(self.count(), self.seconds)
        return "time left unknown" if left is None else f"about {duration(left)} left"

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        if sys.stderr is None or multiprocessing.parent_process() or os.environ.get("RANK", "0") != "0":
            return self
        try:
            shown = _Bar(self) if _has_terminal() else Lines(self)
        except (OSError, ValueError):  # standard error was closed; that is no reason to end the work
            return self
        self._thread = threading.Thread(target=self._watch, args=[shown], name="progress", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread:
            self._whole = kind is None
            self._ended.set()
            self._thread.join()

    def _own_count(self) -> Count:
        if self.total:
            return Count(self.done, min(1.0, self.done / self.total), self._early / self.total)
        return Count(self.done, self.share)

    def _watch(self, shown: Lines | _Bar) -> None:
        """Body of the thread; it ends when standard error is closed."""
        try:
            while not self._ended.wait(shown.pause_s):
                shown.show()
            shown.end(whole=self._whole)
        except (OSError, ValueError):
            return


def loading(command: str) -> Progress:
    """Show, late, that a command imports libraries; these may take long on a busy machine."""
    return Progress(f"{command}: loading", late=True)


def follow(items: Iterable[T], about: str, *, unit: str, total: float | None = None, late: bool = False) -> Iterator[T]:
    """Yield `items` and show how many are done; `total` is their number if they have a length."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(about, unit=unit, total=total, late=late) as progress:
        for item in items:
            yield item
            del item  # before the next one is made: an item may be large
            progress.add()


@contextmanager
def logs_beside_bars(logger: str = "") -> Iterator[None]:
    """Print the records of a logger, the root's by default, above the bars of a terminal."""
    handlers = logging.getLogger(logger).handlers
    if not (_has_terminal() and any(getattr(handler, "stream", None) is sys.stderr for handler in handlers)):
        yield
        return
    from tqdm.contrib.logging import logging_redirect_tqdm

    with logging_redirect_tqdm([logging.getLogger(logger)]):
        yield


def say(line: str) -> None:
    """Print a line to standard output at once, above the bars of a terminal."""
    if _has_terminal():
        from tqdm import tqdm

        tqdm.write(line)
    else:
        print(line)
    sys.stdout.flush()


def in_words(count: Count, *, unit: str, total: float | None, seconds: float) -> str:
    """Progress after `seconds` in words: `1,200 of 40,000 documents (3 %), 410/s, about 40 s left`."""
    parts = []
    if unit:
        of = "" if total is None else f" of {_number(total)}"
        share = "" if count.share is None else f" ({count.share:.0%}{'' if of else ' of the work'})".replace("%", " %")
        parts.append(f"{_number(count.done)}{of} {_named(count.done if total is None else total, unit)}{share}")
    elif count.share is not None:
        parts.append(f"{count.share:.0%}".replace("%", " %"))
    timed = count.done - (count.early * total if total else 0.0)
    if unit and timed > 0 and seconds > 0:
        parts.append(_rate(timed / seconds))
    left = seconds_left(count, seconds)
    parts.append(f"{duration(seconds)} so far" if left is None else f"about {duration(left)} left")
    return ", ".join(parts)


def seconds_left(count: Count, seconds: float) -> float | None:
    """Time left if the rest goes as fast as the `seconds` so far; None if nothing can be said."""
    if count.share is None or count.share <= count.early:
        return None
    return seconds * (1 - count.share) / (count.share - count.early)


def duration(seconds: float) -> str:
    """Seconds as text: "40 s", "3 min", "2 h 5 min"."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _has_terminal() -> bool:
    """Whether standard error is a terminal that a bar fits into."""
    return sys.stderr is not None and sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns > 0


def _number(value: float) -> str:
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if value >= 10 * size:
            return f"{value / size:,.1f} {name}"
    return f"{value:,.0f}"


def _named(number: float, unit: str) -> str:
    """`unit`, a plural, or its singular if there is one thing alone: `1 batch`."""
    first, *rest = unit.split(" ")
    one = first.removesuffix("es") if first.endswith(("sses", "ches")) else first.removesuffix("s")
    return " ".join([one if number == 1 else first, *rest])


def _rate(per_second: float) -> str:
    """A rate per second, or per minute if it is low."""
    if per_second >= 10:
        return f"{_number(per_second)}/s"
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{60 * per_second:.1f}/min"


class Lines:
    """Plain lines: the first at once, then at growing intervals; a last one if there was one between."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._stream = progress, sys.stderr
        self._lines = 0
        self.pause_s = LATE_S
        if not progress.late:
            self.show()

    def show(self) -> None:
        """Print the next line."""
        progress = self._progress
        if self._lines:
            words = in_words(progress.count(), unit=progress.unit, total=progress.total, seconds=progress.seconds)
            self._print(f"{progress.about}: {words}{progress.note and f'; {progress.note}'}")
        else:
            total, unit = progress.total, progress.unit
            self._print(f"{progress.about}{' ...' if total is None else f': {_number(total)} {_named(total, unit)}'}")
        self.pause_s = min(FIRST_S * 2**self._lines, LONGEST_S)
        self._lines += 1

    def end(self, *, whole: bool) -> None:
        """Sum up, unless the work was ended by an error or was short."""
        if whole and self._lines > 1:
            done, unit = self._progress.count().done, self._progress.unit
            things = f"{_number(done)} {_named(done, unit)} " if unit else ""
            self._print(f"{self._progress.about}: {things}in {duration(self._progress.seconds)}")

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class _Bar:
    """A bar of tqdm, which is imported for terminals alone. It stays, and what is printed next begins a new line."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bar: tqdm[Any] | None = None
        self.pause_s = LATE_S
        if not progress.late:
            self.show()

    def show(self) -> None:
        self.pause_s = REFRESH_S
        bar = self._bar = self._bar or self._opened()
        count, total = self._progress.count(), self._progress.total
        bar.n = round(count.done)
        left = seconds_left(count, self._progress.seconds) if total is None else None
        estimate = f"{count.share:.0%}, about {duration(left)} left" if left is not None else ""
        bar.set_postfix_str(", ".join(filter(None, [estimate, self._progress.note])), refresh=False)
        bar.refresh()

    def end(self, *, whole: bool) -> None:
        if self._bar is not None:
            self.show()
            self._bar.close()

    def _opened(self) -> tqdm[Any]:
        from tqdm import tqdm

        progress = self._progress
        bar: tqdm[Any] = tqdm(
            desc=progress.about,
            total=None if progress.total is None else round(progress.total),
            initial=round(progress.done),
            unit=f" {progress.unit}" if progress.unit else "",
            bar_format=None if progress.unit else "{desc} [{elapsed}{postfix}]",
            unit_scale=(progress.total or 0) >= 1e6,
            smoothing=0,
            dynamic_ncols=True,
        )
        bar.start_t -= progress.seconds
        return bar
