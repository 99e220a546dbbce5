"""Retries with exponential backoff: random pauses, so that a thousand ranks do not hit a struggling server at once.

Permanent errors are raised without a retry.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
FINAL = (
    *(FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError),
    *(EOFError, ImportError, InterruptedError),
)
"""Errors that a retry cannot mend."""
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound")
"""Names of botocore's errors; names, because botocore is imported only where it is used."""

Result = TypeVar("Result")


class Retry:
    """Calls a function until it succeeds, at most `attempts` times.

    Args:
        attempts: most calls.
        remedy: end of the message if all fail.
        outcome: what has happened then.
        on_retry: is called before each pause.
        sleep: pauses for some seconds.
        first_pause_s: half of the longest first pause; the longest doubles each time.
        longest_pause_s: bound of all pauses.
    """

    def __init__(
        self,
        attempts: int,
        *,
        remedy: str = "check the address and the network, or raise data.reader.attempts",
        outcome: str = "not read",
        on_retry: Callable[[], None] = lambda: None,
        sleep: Callable[[float], object] = time.sleep,
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self._attempts, self._on_retry, self._sleep = attempts, on_retry, sleep
        self._outcome, self._remedy = outcome, remedy
        self._first_pause_s, self._longest_pause_s = first_pause_s, longest_pause_s

    def __call__(self, read: Callable[[], Result], *, what: str) -> Result:
        """Result of `read`; raises ConnectionError with `what` and the number of attempts if all attempts fail."""
        for attempt in range(1, self._attempts + 1):
            try:
                return read()
            except FINAL:
                raise
            except Exception as error:  # each kind of storage raises its own exceptions
                if _is_refusal(error) or attempt == self._attempts:
                    raise ConnectionError(
                        f"{what}: {self._outcome} in {attempt} attempts, the last said {_said(error)}; {self._remedy}"
                    ) from error
                pause = random.uniform(0, min(self._longest_pause_s, self._first_pause_s * 2**attempt))
                failed = f"attempt {attempt} of {self._attempts} failed"
                logger.warning("%s: %s: %s; the next in %.1f s", what, failed, _said(error), pause)
            self._on_retry()
            self._sleep(pause)
        raise AssertionError("attempts is at least 1")


def _is_refusal(error: Exception) -> bool:
    """Whether a retry is pointless: credentials are missing, or the HTTP status blames the request."""
    if type(error).__name__ in _NO_CREDENTIALS:
        return True
    status = getattr(error, "status", None)
    return isinstance(status, int) and 400 <= status < 500 and status not in (408, 429)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
