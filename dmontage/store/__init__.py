"""The store: one zarr (format 3) group per run, and the only place that knows zarr (level 3).

::

    run.zarr/  attributes: what the run is (version, grid, unit, drops, ..., digest), which state N of its rows holds
      current.json         the mosaic that was last asked for
      driver.lock          held by the one driver that may write (`lock`)
      rows/N/...           the table of all images ever met, as JSON, their windows and nominal areas (`rows`)
      projected/...        flux and area, a row per image, on its window (`projected`)
      pairs/fits           fits of the overlaps, which all models of the background share (`tables`)
      corrections/NAME     planes of the rows by one way of matching backgrounds (`tables`)
      mosaic/...           the product that was last made, on its chunks (`product`)

A run is a grid, and what of pixels counts and how they are laid on it. Images come and go: their rows stay, told apart
by a digest of what they were made from (file, window, mapping, maps), and are found again. Every unit, a row or a chunk
of the mosaic, has one owner, the task that makes it, and a mark that is written last and holds such a digest: work is
skipped where it is done and still true. Whatever is written appears whole or not at all; a run is laid out aside and
renamed, or, in an object store, is one when its zarr.json is there. Chunks carry a checksum; one that is damaged or
lost is an error that also takes the mark away, so that the same command again makes it anew. The fill value is NaN,
which no written chunk but those of values without data holds. Of a temporary store, which nobody comes back to, rows
that stay in memory and chunks that were handed on are not written.

`files` is where bytes go in a folder, `objects` in an object store; `lock` and `lease` keep other drivers out of
either; `arrays` is how chunks are coded, `cache` what a driver keeps of them in memory, `run` the whole.
"""

from dmontage.store.arrays import DamagedError
from dmontage.store.lock import InUseError
from dmontage.store.projected import Mark
from dmontage.store.run import FORMAT, Store, StoreRef
from dmontage.store.tables import FITS_PER_CHUNK

__all__ = ["FITS_PER_CHUNK", "FORMAT", "DamagedError", "InUseError", "Mark", "Store", "StoreRef"]
