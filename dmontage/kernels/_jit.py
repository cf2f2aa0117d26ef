"""The jit options of every kernel, in one place.

``nogil`` so that threads run side by side (1.7-1.8 times on 2 threads); ``cache`` because plain ``njit`` writes its
cache by rename, safe for processes that start together; never ``parallel`` (it aborts the process when several dask
threads enter it), never ``fastmath`` (it would let the compiler reorder sums, and the answer must not depend on it).
Division by zero follows IEEE 754, as in numpy: kernels test before they divide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile an array loop, the tier that other modules call."""
    return cast("_Function", numba.njit(nogil=True, cache=True, error_model="numpy")(function))


def primitive(function: _Function) -> _Function:
    """Compile a scalar or one-pixel function, called by the kernels of its own file."""
    return kernel(function)


def inlined(function: _Function) -> _Function:
    """As `primitive`, but always inlined: a call counts a reference for each array passed, which hot loops feel."""
    return cast("_Function", numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)(function))
