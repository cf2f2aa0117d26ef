"""The digest of an image: the same whatever the chunks in which it was made, and without its header.

SHA-256 over the SHA-256 of blocks of pixels, as they lie in a FITS file (big-endian float32, float64 or int32),
anchored at the first pixel of the file's image, in row order. Of a cube it is that over the digests of its planes.
"""

from __future__ import annotations

import hashlib
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from dmontage.window import LATTICE, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["block_digests", "cube_digest", "digest_of", "image_digest"]


def block_digests(window: Window, data: NDArray[Any]) -> Iterator[tuple[tuple[int, int], bytes]]:
    """The digests of the blocks of a window, by their place on the lattice; ``data`` its pixels, big-endian."""
    ny, nx = window.shape
    if ny % LATTICE or nx % LATTICE:
        for index, block in window.blocks((LATTICE, LATTICE)):
            part = data[block.relative_to(window).slices]
            yield index, hashlib.sha256(np.ascontiguousarray(part).data).digest()
        return
    # Whole blocks are put in order at once: half as long as cutting them out one by one.
    n_y, n_x, y, x = ny // LATTICE, nx // LATTICE, window.y0 // LATTICE, window.x0 // LATTICE
    cut = data.reshape(n_y, LATTICE, n_x, LATTICE).swapaxes(1, 2).reshape(n_y * n_x, -1)
    for k, block_data in enumerate(cut):
        yield (y + k // n_x, x + k % n_x), hashlib.sha256(block_data.data).digest()


def image_digest(blocks: Mapping[tuple[int, int], bytes], shape: tuple[int, int]) -> str:
    """The digest of an image (ny, nx) whose blocks are all there; ValueError where one is not."""
    whole = hashlib.sha256()
    n_y, n_x = (-(-side // LATTICE) for side in shape)
    for index in product(range(n_y), range(n_x)):
        if index not in blocks:
            raise ValueError(f"block {index} of an image of shape {shape} was never written")
        whole.update(blocks[index])
    return whole.hexdigest()


def cube_digest(planes: Iterable[str]) -> str:
    """The digest of a cube from those of its planes, in order."""
    whole = hashlib.sha256()
    for digest in planes:
        whole.update(bytes.fromhex(digest))
    return whole.hexdigest()


def digest_of(pixels: NDArray[Any]) -> str:
    """The digest of an image in memory, or mapped, (ny, nx); read in bands."""
    ny, nx = pixels.shape
    blocks: dict[tuple[int, int], bytes] = {}
    dtype = ">i4" if pixels.dtype.kind == "i" else ">f8" if pixels.dtype.itemsize == 8 else ">f4"
    for band in Window(0, ny, 0, nx).bands(8 * LATTICE):
        blocks.update(block_digests(band, np.asarray(pixels[band.slices], dtype)))
    return image_digest(blocks, (ny, nx))
