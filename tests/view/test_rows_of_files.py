"""Rows of files: the pixels, read in bounded memory, however they are packed."""

from __future__ import annotations

import gzip
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from dmontage.errors import InputError
from dmontage.fits_files import one_image
from dmontage.graph import shrunk
from dmontage.grid import Grid
from dmontage.places import place
from dmontage.view import rows
from dmontage.view.rows import Rows
from dmontage.view.shrink import shrink

SIDE, STEP = 1600, 100
KINDS = ["m.fits", "m.fits.gz", "m.fits.fz", "packed.fits", "memory://rows/m.fits.gz", "memory://rows/m.fits"]


@pytest.fixture
def data() -> Any:
    """Mostly blank, so that it packs well."""
    values = np.full((SIDE, SIDE), np.nan, np.float32)
    values[500:900, 100:1500] = np.arange(1400, dtype=np.float32)
    return values


def write(folder: Path, name: str, data: Any) -> str:
    header = Grid.around("10.0 20.0", shape=data.shape, scale="1 arcsec").to_header()
    plain = folder / "m.fits"
    fits.writeto(plain, data, header, overwrite=True)
    if name.endswith(".fz"):
        packed = fits.CompImageHDU(data, header, compression_type="GZIP_1")
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(folder / name)
        return str(folder / name)
    there = place(name) if ":" in name else folder / name
    content = plain.read_bytes()
    if name != "m.fits":
        there.write_bytes(content if name.endswith(".fits") and ":" in name else gzip.compress(content, 1))
    return str(there)


@pytest.mark.parametrize("name", KINDS)
def test_files_of_any_packing_are_shrunk_by_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Any, name: str
) -> None:
    """All of it would be 10 MB; a band is 0.5 MB, read by astropy and by us."""
    monkeypatch.setattr(rows, "_WHOLE", 1 << 17)
    monkeypatch.setattr(shrunk, "_BAND", 1 << 17)
    image = Rows(one_image(write(tmp_path, name, data)))
    wanted = shrink(data, STEP)  # and its kernel is there
    tracemalloc.start()
    small = shrink(image, STEP)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(small, wanted)
    np.testing.assert_array_equal(shrink(image, STEP), small)
    assert peak < 5e6


def test_a_gzipped_file_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Any) -> None:
    """However many bands there are; the file is closed with its rows."""
    monkeypatch.setattr(rows, "_WHOLE", 1 << 17)
    monkeypatch.setattr(shrunk, "_BAND", 1 << 17)
    image = Rows(one_image(write(tmp_path, "m.fits.gz", data)))
    opened: list[weakref.ref[gzip.GzipFile]] = []
    rewound: list[int] = []
    begin, rewind = gzip.GzipFile.__init__, gzip.GzipFile.rewind

    def begins(self: gzip.GzipFile, *arguments: Any, **more: Any) -> None:
        opened.append(weakref.ref(self))
        begin(self, *arguments, **more)

    def rewinds(self: gzip.GzipFile) -> None:
        rewound.append(1)
        rewind(self)

    monkeypatch.setattr(gzip.GzipFile, "__init__", begins)
    monkeypatch.setattr(gzip.GzipFile, "rewind", rewinds)
    shrink(image, STEP)
    assert len(opened) == 1 and len(rewound) <= 1
    file = opened[0]()
    assert file is not None and not file.closed
    del image
    assert file.closed


def test_a_wrong_checksum_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Any) -> None:
    monkeypatch.setattr(rows, "_WHOLE", 1 << 17)
    path = Path(write(tmp_path, "m.fits.gz", data))
    content = path.read_bytes()
    path.write_bytes(content[:-8] + bytes(4) + content[-4:])
    with pytest.raises(InputError, match=r"m\.fits\.gz: HDU 0 cannot be read"):
        shrink(Rows(one_image(str(path))), STEP)
