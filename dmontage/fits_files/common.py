"""What reading and scanning share: silence, numbers of the standard, an error's first line."""

from __future__ import annotations

import threading
import warnings

from astropy.utils.exceptions import AstropyWarning

__all__ = ["BITPIX", "BLOCK", "first_line", "quiet"]

BLOCK = 2880
"""Bytes of a FITS block."""

BITPIX = (8, 16, 32, 64, -32, -64)
"""Bits of a pixel, negative for floats."""


class _Quiet:
    """Silences astropy while any thread is inside.

    ``warnings.catch_warnings`` in two threads at once can leave the filter of one behind for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore", AstropyWarning)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


quiet = _Quiet()


def first_line(error: BaseException) -> str:
    """What an error says first, or its kind."""
    return str(error).strip().split("\n")[0] or type(error).__name__
