"""Relaxation: the iteration of the Montage papers, for comparison and for those who must reproduce it (level 3).

Every image is moved by half of what its neighbours ask for in the mean, all images at once, until none moves any more.
What a neighbour asks for is the fitted difference less what both were moved by already; the mean is the plane that fits
all of an image's differences best. This is damped block Jacobi on the normal equations of `System`: it ends where the
direct solution without a prior is, but a wave over k images takes some k² steps, or k⁴ with slopes.

References
----------
Berriman et al. 2003, ADASS XII, 343; Jacob et al. 2009, IJCSE 4, 73.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dmontage.background.normal import System
    from dmontage.background.tables import Floats, Ints

__all__ = ["relax"]


def relax(
    system: System, w: Floats, difference: Floats, free: Ints, tolerance: float, max_steps: int
) -> tuple[Floats, int, bool]:
    """(3n,) internal parameters, the steps that were taken, and whether no image moved by `tolerance` in the last.

    Parameters
    ----------
    w, difference
        Information (m, 3, 3) and differences (m, 3) of the pairs.
    free
        Positions among the 3n of the parameters that may change.
    """
    n = system.unit.size // 3
    blocks = np.zeros((n, 3, 3))
    for side in (slice(0, 3), slice(3, 6)):
        part = system.design[:, :, side]
        np.add.at(blocks, system.index[:, side][:, 0] // 3, np.swapaxes(part, 1, 2) @ (w @ part))
    movable = np.zeros(3 * n, bool)
    movable[free] = True
    flags = movable.reshape(n, 3)
    blocks *= flags[:, :, None] & flags[:, None, :]
    # Half the mean; where differences do not fix a plane, the smallest one.
    half = 0.5 * np.linalg.pinv(blocks, rcond=1e-10, hermitian=True)
    p = np.zeros(3 * n)
    for step in range(1, max_steps + 1):
        asked = system.right(w, system.residuals(difference, p)).reshape(n, 3) * flags
        move = (half @ asked[:, :, None]).ravel()
        p += move
        if np.abs(move).max(initial=0.0) <= tolerance:
            return p, step, True
    return p, max_steps, False
