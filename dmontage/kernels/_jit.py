"""The jit options of every kernel, in one place.

``nogil`` so that threads run side by side (1.7-1.8 times on 2 threads); ``cache`` because plain ``njit`` writes its
cache by rename, safe for processes that start together; never ``parallel`` (it aborts the process when several dask
threads enter it), never ``fastmath`` (it would let the compiler reorder sums, and the answer must not depend on it).
Division by zero follows IEEE 754, as in numpy: kernels test before they divide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast, overload

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile an array loop, the tier that other modules call."""
    return cast("_Function", numba.njit(nogil=True, cache=True, error_model="numpy")(function))


@overload
def primitive(function: _Function) -> _Function: ...
@overload
def primitive(*, forceinline: bool) -> Callable[[_Function], _Function]: ...
def primitive(
    function: _Function | None = None, *, forceinline: bool = False
) -> _Function | Callable[[_Function], _Function]:
    """Compile a scalar or one-pixel function, called by the kernels of its own file."""

    def compile_it(it: _Function) -> _Function:
        return cast("_Function", numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=forceinline)(it))

    return compile_it if function is None else compile_it(function)
