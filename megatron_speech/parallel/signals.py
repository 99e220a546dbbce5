"""Turns a signal to any rank into a stop of all ranks: they finish the step, save together and leave with status 0.

SLURM sends SIGUSR1 before the time limit (``--signal``), and SIGTERM to a cancelled or pre-empted job. Ctrl-C sends
SIGINT. The handler only sets a flag. Ranks agree on it once a step, so no rank waits in a collective that another has
left. A second SIGINT ends the process at once; other repeated signals change nothing.

Cost: one collective of a single integer per step (none in a single process).
"""

from __future__ import annotations

import logging
import os
import signal
from types import FrameType
from typing import Any

import torch

from megatron_speech.config.parsing.leaving import INTERRUPTED
from megatron_speech.platform.device import device

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
FIRST = b"interrupted: this step is finished and saved first; Ctrl-C again ends at once, without saving\n"
SECOND = b"interrupted again: ended at once, with nothing saved since the last checkpoint\n"


class StopRequest:
    """Context manager: inside, STOP_SIGNALS ask for an orderly stop instead of ending the process.

    Open it before anything slow, so that a signal during start-up is remembered and does not kill the process.
    """

    def __init__(self, *, speaks: bool = True) -> None:
        """With `speaks`, answer Ctrl-C on stderr; one rank of a run does this."""
        self._received: signal.Signals | None = None
        self._interrupted = False
        self._speaks = speaks
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        self._previous = {number: signal.signal(number, self._remember) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def received(self) -> bool:
        """Whether this rank received a stop signal; not collective."""
        return self._received is not None

    def agreed(self) -> bool:
        """Whether any rank received a stop signal; the same answer on all ranks. Collective."""
        if torch.distributed.get_world_size() == 1:
            return self._received is not None
        flag = torch.tensor([self._received is not None], dtype=torch.int32, device=device())
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        return bool(flag.item())

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._received = signal.Signals(number)
        if number != signal.SIGINT:
            return
        # os.write and os._exit are safe here: the handler may interrupt code that is writing or holds a lock.
        if self._speaks:
            below_bar = b"\n" if os.isatty(2) else b""
            os.write(2, below_bar + (SECOND if self._interrupted else FIRST))
        if self._interrupted:
            os._exit(INTERRUPTED)
        self._interrupted = True
