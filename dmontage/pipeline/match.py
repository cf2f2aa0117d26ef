"""Match: from the overlaps of a plan's rows to the corrections of its images, and back to planes of rows.

The solve speaks of images, the store of rows. An image has one plane, told in the mosaic's pixels about the middle of
its part on the grid; further rows of an image that a seam cuts see it through an affine map, by way of the tangent
plane on the sky.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from dmontage.background import PairTable, Solution, solve
from dmontage.grid.tangent import Tangents, offsets, sky_at, tangents
from dmontage.pipeline.overlap_geometry import Overlaps, overlap_geometry
from dmontage.sphere import rotate_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dmontage.model import PlaneFit
    from dmontage.planner import Footprint, MosaicPlan

    Floats = NDArray[np.float64]

__all__ = ["Match"]

_BENT = 0.05
"""Of half an image: a row in which the tangent plane departs further from an affine map has no slopes."""
_WOUND = 0.5
"""The same for an image that lies in one row: it is wound about a pole, or off the sky."""
_MESH = 33
"""Points along each side of an image that is cut, which tell where its parts lie."""


@dataclass(frozen=True)
class Match:
    """A plan's images and rows, as the solve sees them."""

    plan: MosaicPlan

    @cached_property
    def main_rows(self) -> NDArray[np.int64]:
        """(n,) the row of each image that covers most."""
        main: dict[int, int] = {}
        for i, image in enumerate(self.plan.image_of):
            main[image] = max(main.get(image, i), i, key=lambda k: (self.boxes[k, 2:].prod(), -k))
        return np.array([main[image] for image in range(self.plan.n_images)], np.int64)

    @cached_property
    def other_rows(self) -> NDArray[np.int64]:
        """Rows besides the main ones that their images cover some of."""
        return np.setdiff1d(np.flatnonzero(self.boxes[:, 2:].all(axis=1)), self.main_rows)

    @cached_property
    def boxes(self) -> Floats:
        """(rows, 4) x, y of the middle of what each row covers, and its width and height (or 0, 0); mosaic pixels."""
        return np.array([self._box(row) for row in self.plan.rows], float).reshape(-1, 4)

    def _box(self, row: Footprint) -> tuple[float, ...]:
        """Of a row; where the map is cut, windows are whole blocks, and what the image covers of them is looked for."""
        w, image = row.window, row.image.grid
        if row.mapping.cut:
            y, x = (np.linspace(-0.5, n - 0.5, _MESH) for n in image.shape)
            sky = rotate_frame(image.sky(x[None, :], y[:, None]), image.frame, self.plan.grid.frame)
            at = np.stack(self.plan.grid.pixel(sky), axis=-1).reshape(-1, 2)
            at = at[(np.abs(at - w.middle) <= np.array(w.shape[::-1]) / 2).all(axis=1)]
            low, high = (at.min(axis=0), at.max(axis=0)) if len(at) else (np.array(w.middle),) * 2
            return (*((low + high) / 2), *(np.maximum(high - low, 1.0) if len(at) else (0.0, 0.0)))
        return (*w.middle, w.shape[1], w.shape[0])

    @cached_property
    def frames(self) -> Floats:
        """(n, 3) x, y of the middles of the images' main parts and half their sizes, mosaic pixels."""
        boxes = self.boxes[self.main_rows]
        return np.column_stack([boxes[:, :2], boxes[:, 2:].max(axis=1, initial=1.0) / 2])

    @cached_property
    def sky_origins(self) -> Floats:
        """(n, 3) ICRS unit vectors of the planes' origins."""
        return sky_at(self.plan.grid, self.frames[:, :2])

    @cached_property
    def tangents(self) -> Tangents:
        """The tangent planes of all images about their origins."""
        return self._tangents(self.frames[:, :2], np.arange(len(self.frames)), self.frames[:, 2])

    def _tangents(self, pixels: Floats, images: NDArray[np.int64], sizes: Floats) -> Tangents:
        """Tangent planes of some images about pixels (k, 2), over regions of some sizes (k,)."""
        return tangents(self.plan.grid, pixels, self.sky_origins[images], np.maximum(sizes / 4, 1.0))

    @cached_property
    def affines(self) -> Floats | None:
        """(rows, 2, 3) maps from the mosaic's pixels to those of the image's plane; None where all are identities."""
        plan, image_of = self.plan, np.array(self.plan.image_of)
        others = self.other_rows
        if not others.size:
            return None
        affines = np.tile(np.eye(2, 3), (len(plan.rows), 1, 1))
        images = image_of[others]
        middles, sizes = self.boxes[others, :2], self.boxes[others, 2:].min(axis=1)
        there = self._tangents(middles, images, sizes)
        with np.errstate(invalid="ignore"):
            back = np.linalg.inv(self.tangents.jacobian[images])
        turn = back @ there.jacobian
        shift = self.frames[images, :2] + (back @ (there.offset - self.tangents.offset[images])[:, :, None])[:, :, 0]
        affines[others, :, :2] = turn
        affines[others, :, 2] = shift - (turn @ middles[:, :, None])[:, :, 0]
        # Where there is no tangent plane there is a level only, which takes no map.
        affines[~np.isfinite(affines).all(axis=(1, 2))] = np.eye(2, 3)
        return affines

    @cached_property
    def level_only(self) -> list[int]:
        """Images that are cut and see no plane: the tangent plane is too far from affine in one of their rows."""
        plan = self.plan
        several = {plan.image_of[i] for i in self.other_rows}
        bent = set()
        for i, row in enumerate(plan.rows):
            image = plan.image_of[i]
            # An image seen from one side only has a plane over the mosaic's pixels, but not about a pole.
            limit = _BENT if image in several else _WOUND
            if row.mapping.cut and self.boxes[i, 2:].all() and self._is_bent(i, image, limit):
                bent.add(image)
        return sorted(bent)

    def _is_bent(self, i: int, image: int, limit: float) -> bool:
        middle, sides = self.boxes[i, :2], self.boxes[i, 2:]
        mesh = np.meshgrid(*(sides[:, None] * np.linspace(-0.5, 0.5, 5)))
        pixels = middle + np.stack(mesh, axis=-1).reshape(-1, 2)
        about = self._tangents(middle[None], np.array([image]), sides.min(keepdims=True))
        true = offsets(sky_at(self.plan.grid, pixels), self.sky_origins[image])
        affine = about.offset[0] + (pixels - middle) @ about.jacobian[0].T
        grid = self.plan.images[image].grid
        size = max(grid.shape) / 2 * grid.scale
        return not bool((np.abs(true - affine) <= limit * size).all())

    def overlaps(self, met: NDArray[np.bool_] | None = None) -> Overlaps:
        """The geometry of the plan's pairs; images without a pair that ``met`` in some pixel, (m,), cover nothing."""
        rows = self.plan.rows
        outlines = [np.array(row.outline) for row in rows]
        return overlap_geometry([row.window for row in rows], outlines, self.plan.pairs, met)

    def between_images(self, rows: PairTable, share: Floats) -> PairTable:
        """A table of pairs of rows as one of pairs of images."""
        image_of = np.array(self.plan.image_of)
        affines = None
        if self.affines is not None:
            affines = np.stack((self.affines[rows.plus], self.affines[rows.minus]), axis=1)
        return replace(rows, plus=image_of[rows.plus], minus=image_of[rows.minus], share=share, affines=affines)

    def solved(self, table: PairTable, model: str, prior: float | str | None, solver: str = "direct") -> Solution:
        """Corrections of the images from a table of their pairs; the prior per mosaic pixel."""
        return solve(
            table,
            self.frames,
            cast("Literal['plane', 'level']", model),
            cast("Any", prior),
            level_only=self.level_only,
            locked=self.plan.locked,
            anchors=self.plan.anchors,
            solver=solver,
        )

    def solve(self, fits: Sequence[PlaneFit]) -> Solution:
        """Corrections of the images, from the fitted differences of the plan's pairs, in their order."""
        plan, prior = self.plan, self.plan.matching.slope_prior
        if prior is not None and not isinstance(prior, str):
            prior = float(prior) * plan.degrees_per_pixel
        share = self.overlaps(np.array([fit.n_pixels > 0 for fit in fits], bool)).share
        table = self.between_images(PairTable.of(fits), share)
        if plan.matching.solver == "relaxation":
            # As in Montage an overlap weighs by its pixels, not by their noise: two images that share their raw pixels
            # would tie each other down, and nothing would move in ten thousand steps.
            squares = np.array([fit.rms**2 for fit in fits])
            table = replace(table, information=table.information * squares[:, None, None])
        return self.solved(table, plan.background, prior, plan.matching.solver)

    def row_planes(self, parameters: Floats) -> Floats:
        """(rows, 5) level, slope_x, slope_y, x0, y0 of the rows, from the images' (n, 3) level, slope_x, slope_y."""
        image_of = np.array(self.plan.image_of)
        p, centres = parameters[image_of], self.frames[image_of, :2]
        planes = np.hstack([p, centres])
        if self.affines is None:
            return planes
        seen = self.other_rows
        turn, shift = self.affines[seen, :, :2], self.affines[seen, :, 2]
        origins = self.boxes[seen, :2]
        at = (turn @ origins[:, :, None])[:, :, 0] + shift
        planes[seen, 0] = p[seen, 0] + (p[seen, 1:] * (at - centres[seen])).sum(axis=1)
        planes[seen, 1:3] = (p[seen, None, 1:] @ turn)[:, 0]
        planes[seen, 3:] = origins
        return planes
