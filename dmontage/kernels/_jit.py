"""The jit options of every kernel, in one place.

``nogil`` so that threads run side by side (1.7-1.8 times on 2 threads); ``cache`` because plain ``njit`` writes its
cache by rename, safe for processes that start together; never ``parallel`` (it aborts the process when several dask
threads enter it), never ``fastmath`` (it would let the compiler reorder sums, and the answer must not depend on it).
Division by zero follows IEEE 754, as in numpy: kernels test before they divide.
"""

from __future__ import annotations

import functools

import numba

kernel = functools.partial(numba.njit, nogil=True, cache=True, error_model="numpy")
"""Decorator of an array loop: ``@kernel``."""

primitive = functools.partial(numba.njit, nogil=True, cache=True, error_model="numpy", inline="never")
"""Decorator of a scalar or one-pixel function called by kernels in its own file."""
