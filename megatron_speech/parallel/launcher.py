"""Runs torchrun so that the error of the rank that failed is the last line on the screen.

torchrun starts and watches the ranks. After a failure or Ctrl-C it prints a traceback of its own, thirty lines below
the error of the rank. Here the error is printed once, at the end, and the exit status is the rank's.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import psutil
from torch.distributed import DistError
from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousError

from megatron_speech.config.parsing.leaving import AGAIN, INTERRUPTED, LAUNCHER, MISTAKE

TIME_TO_SAVE_S = 600
"""How long ranks may take to save after Ctrl-C or SIGTERM; torchrun's own 30 s would cut a large checkpoint."""
TIME_TO_DIE_S = 5


def launch(args: list[str]) -> None:
    """Run ``torchrun <args>``; raises SystemExit unless every rank ended with status 0."""
    os.environ[LAUNCHER] = "1"
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(TIME_TO_SAVE_S))
    logging.disable()  # torchrun would log the same failures
    signal.signal(signal.SIGINT, _stop_ranks)
    try:
        torchrun.main(["--signals-to-handle", "SIGTERM,SIGHUP,SIGQUIT", *args])
    except ChildFailedError as error:
        _leave_failed(error)
    except SignalException as stopped:  # the ranks have saved and said so
        raise SystemExit(128 + stopped.sigval) from stopped
    except (DistError, RendezvousError) as error:
        cause = " ".join(str(error).split())[:200]
        print(
            f"error: the ranks cannot meet ({cause}); with all of them on this machine add --standalone, else choose "
            "another --rdzv-endpoint",
            file=sys.stderr,
        )
        raise SystemExit(MISTAKE) from error


def _stop_ranks(number: int, frame: FrameType | None) -> NoReturn:
    """First Ctrl-C: stop the ranks, as torchrun's own handler does; a second Ctrl-C then calls `_end_ranks`."""
    signal.signal(signal.SIGINT, _end_ranks)
    if not psutil.Process().children():
        print(AGAIN, file=sys.stderr)
    raise SignalException("Ctrl-C", sigval=signal.SIGINT)


def _end_ranks(number: int, frame: FrameType | None) -> NoReturn:
    """Second Ctrl-C: send SIGINT to ranks that still run, then SIGKILL, and leave."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ranks = psutil.Process().children()
    for told in (signal.SIGINT, signal.SIGKILL):
        for rank in ranks:
            with suppress(psutil.NoSuchProcess):
                rank.send_signal(told)
        _, ranks = psutil.wait_procs(ranks, timeout=TIME_TO_DIE_S)
    os._exit(INTERRUPTED)


def _leave_failed(error: ChildFailedError) -> NoReturn:
    """Print the earliest error line of a rank and leave with that rank's status.

    If no rank left such a line, say how the first rank ended.
    """
    failures = sorted(error.failures.items(), key=lambda item: item[1].timestamp)
    told = [failure for _, failure in failures if _line(failure)]
    if told:
        print(_line(told[0]), file=sys.stderr)
        raise SystemExit(told[0].exitcode) from error
    rank, first = failures[0]
    if first.exitcode < 0:
        cause = f"was killed by {first.signal_name()}" + ("; out of memory?" if first.exitcode == -9 else "")
    else:
        cause = f"ended with status {first.exitcode}; its own lines stand above"
    print(f"error: rank {rank} (process {first.pid}) {cause}", file=sys.stderr)
    raise SystemExit(first.exitcode if first.exitcode > 0 else 128 - first.exitcode) from error


def _line(failure: ProcessFailure) -> str:
    """The error line that `config.parsing.leaving` wrote for torchrun; empty if the rank left none."""
    message = failure.message.get("message", "") if isinstance(failure.message, dict) else ""
    return message if message.startswith("error: ") else ""
