"""One image among several: of a file on disk, or of HDUs that the caller holds open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.io import fits

from dmontage.errors import InputError
from dmontage.fits_files.common import quiet
from dmontage.fits_files.opening import opened
from dmontage.fits_files.reader import in_memory
from dmontage.fits_files.scanner import layer_of, scan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmontage.grid import Grid
    from dmontage.model import ImageRef

__all__ = ["layer", "one_image", "one_in_memory"]


def one_image(path: str | Path, hdu: int | str | None = None, *, companions: bool = False) -> ImageRef:
    """The only image of a file, or that of an HDU by number or EXTNAME; InputError names the choice.

    With ``companions`` an area, a variance or a count that dmontage wrote is an image too.
    """
    found = scan(path, companions=companions)
    files = {ref.path for ref in found}
    if len(files) > 1:
        raise InputError(
            f"{path} is a folder of {len(files)} files with images, where one image is needed: name one of them, or "
            f"make one of all (dmontage mosaic {path} -o mosaic.fits)"
        )
    number = hdu
    if isinstance(hdu, str):
        with quiet, opened(path) as hdus:
            number = hdus.index_of(hdu) if hdu in hdus else None
    chosen = [ref for ref in found if hdu is None or number == ref.hdu]
    if len(chosen) != 1:
        numbers = ", ".join(str(ref.hdu) for ref in found)
        what = f"has {len(found)} images" if hdu is None else f"has no image for hdu={hdu!r}"
        raise InputError(f"{path} {what}; its images are in HDUs {numbers}: name one by its HDU")
    return chosen[0]


def layer(ref: ImageRef) -> str:
    """Which layer of a mosaic an image is: "data" unless it is an area, a variance or a count that dmontage wrote."""
    with quiet, opened(ref.path) as hdus:
        return layer_of(hdus[ref.hdu].header)


def one_in_memory(image: Any, hdu: int | str | None = None) -> tuple[NDArray[Any], Grid] | None:
    """Pixels (*planes, ny, nx) and grid of an image HDU or HDUList; None for anything else."""
    if isinstance(image, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        return in_memory(image)
    if not isinstance(image, fits.HDUList):
        return None
    if hdu is None:
        numbers = [k for k, h in enumerate(image) if h.is_image and len(h.shape) >= 2]
        if len(numbers) != 1:
            raise InputError(f"the list has images in {len(numbers)} HDUs ({numbers}): name one by hdu=")
        hdu = numbers[0]
    if hdu not in image if isinstance(hdu, str) else hdu not in range(len(image)):
        raise InputError(f"hdu={hdu!r}: the list has no such HDU; it has {[h.name for h in image]}")
    return in_memory(image[hdu], image)
