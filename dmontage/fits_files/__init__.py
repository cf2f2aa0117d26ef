"""FITS files: the only place that opens them (level 3).

`scan` is the gate: every file and HDU is either a usable image or is skipped with a reason, before any pixel is read,
and nothing is allocated because a header claims it: `structure` looks first at the cards that decide on it. Files that
are `plain` do without astropy. Files may lie in an object store: `opened` fetches no more of them than is read.
`companions` finds the maps, numbers and bands of images. `read` gives native floats with NaN for blank; `only_value`
tells images that say nothing. `FitsWriter` writes the windows of a product, in any order, into a file beside its final
name, and renames it when it is whole; `digest` is what its header tells of its pixels. `write_image` writes an array,
`read_header` tells the cards of an HDU.
"""

from dmontage.fits_files.band_table import band_table
from dmontage.fits_files.blank import only_value
from dmontage.fits_files.companions import map_for
from dmontage.fits_files.headers import read_header
from dmontage.fits_files.one import layer, one_image, one_in_memory
from dmontage.fits_files.reader import pixels, product_digests, read, read_map, reading
from dmontage.fits_files.scanner import is_fits_name, scan
from dmontage.fits_files.source_table import source_table
from dmontage.fits_files.stored import Stored, read_stored, write_stored
from dmontage.fits_files.tables import read_table
from dmontage.fits_files.whole import other_cards, write_image, write_images
from dmontage.fits_files.writer import FitsPixels, FitsWriter, check_writable

__all__ = [
    "FitsPixels",
    "FitsWriter",
    "Stored",
    "band_table",
    "check_writable",
    "is_fits_name",
    "layer",
    "map_for",
    "one_image",
    "one_in_memory",
    "only_value",
    "other_cards",
    "pixels",
    "product_digests",
    "read",
    "read_header",
    "read_map",
    "read_stored",
    "read_table",
    "reading",
    "scan",
    "source_table",
    "write_image",
    "write_images",
    "write_stored",
]
