"""The pipeline: scan, plan, project, fit, solve, coadd, write (level 5).

`mosaic` decides everything and computes nothing; a `Mosaic` is a value with a store behind it. Its stages run
when pixels are first asked for, and only for what the store has not: rows, fits of overlaps, corrections and chunks are
each taken from there where they were made from the same.

- `api` is what a user calls, over `planning`, which makes a plan of what is asked for; `aligned` is for images on one
  grid
- `value` is what is given, and `cutout` parts of it: over `there`, what of it is there already, `matched`, what is
  known of the backgrounds, `rectify`, which finds their corrections, and `stages`, which run once each over the store
- `bands` are mosaics of several wavelengths on one grid, `cube` one file of them; `tiles` are parts of a mosaic that
  have files of their own
- `match` and `overlap_geometry` are between rows of the store and images of the solve; `corrections` are their tables,
  and `given` those that a user has
- `together` is one solve for several runs, from what `run_fits` finds in their stores
- `prediction` says before, and `uncertainty` after, how well the background is known
- `pixel_check` reads a row of each image, on request, for a plan's warnings
- `saving` writes rows of tables many at a time
- `telling` is who hears how far a mosaic is
- `outcome`, `summary`, `compiling` tell what was or will be done, `journal` as it happens, `products`, `cards` and
  `sources` write it, `kept` tells and checks what a store or a product has of it
- `image` is the projection of one image
"""

from typing import TYPE_CHECKING, Any

from dmontage.pipeline.api import coadd, mosaic, mosaics
from dmontage.pipeline.bands import Bands
from dmontage.pipeline.cutout import Cutout, Pixels
from dmontage.pipeline.kept import Status, Verified, status, verify
from dmontage.pipeline.planning import plan
from dmontage.pipeline.products import product_paths
from dmontage.pipeline.sources import Sources
from dmontage.pipeline.summary import Summary
from dmontage.pipeline.together import solve_runs
from dmontage.pipeline.uncertainty import ErrorMap
from dmontage.pipeline.value import Mosaic

if TYPE_CHECKING:
    from dmontage.pipeline.image import project

__all__ = [
    "Bands", "Cutout", "ErrorMap", "Mosaic", "Pixels", "Sources", "Status", "Summary", "Verified", "coadd", "mosaic",
    "mosaics", "plan", "product_paths", "project", "solve_runs", "status",
    "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """`project` needs dask's arrays, which take 0.4 s to import and a mosaic's files do not need."""
    if name != "project":
        raise AttributeError(f"module 'dmontage.pipeline' has no attribute {name!r}")
    from dmontage.pipeline.image import project

    return project
