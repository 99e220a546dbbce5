"""Try again what fails for a moment; what cannot get better is an error at once.

Pauses double, and are of random length, so that a thousand ranks do not come back to a struggling server all at once.
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
FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, EOFError, ImportError)
"""Errors that another try does not mend."""
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound")
"""Of botocore, which is imported only where it is used."""

Result = TypeVar("Result")


class Retry:
    """Calls with several attempts."""

    def __init__(
        self,
        attempts: int,
        *,
        remedy: str = "check the address and the network, or raise data.reader.attempts",
        on_retry: Callable[[], None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._attempts, self._remedy, self._on_retry, self._sleep = attempts, remedy, on_retry, sleep

    def __call__(self, read: Callable[[], Result], *, what: str) -> Result:
        """The result of `read`; ConnectionError naming `what` and the number of attempts when it never came."""
        for attempt in range(1, self._attempts + 1):
            try:
                return read()
            except FINAL:
                raise
            except Exception as error:  # every kind of storage has a family of its own
                if _is_refusal(error) or attempt == self._attempts:
                    raise ConnectionError(
                        f"{what}: not read in {attempt} attempts, the last said {_said(error)}; {self._remedy}"
                    ) from error
                logger.warning("%s: attempt %d of %d failed: %s", what, attempt, self._attempts, _said(error))
            self._on_retry()
            self._sleep(random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempt)))
        raise AssertionError("attempts is at least 1")


def _is_refusal(error: Exception) -> bool:
    """Whether the request itself is wrong, and not the server busy: no credentials, or an HTTP status that says so."""
    if type(error).__name__ in _NO_CREDENTIALS:
        return True
    status = getattr(error, "status", None)
    return isinstance(status, int) and 400 <= status < 500 and status not in (408, 429)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
