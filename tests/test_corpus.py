"""Broken files never crash, hang or starve the process, and are refused with a reason, or give their pixels.

Every file is looked at in a child process (`faults`), so that a segmentation fault is a failed test.
"""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Iterator
from pathlib import Path

import corpus
import numpy as np
import pytest
from corpus import BLOCK, Broken, card, chip, compressed, file_name, image, lookup
from faults import Child, Outcome, trouble
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

import dmontage as dm
from dmontage.errors import InputError
from dmontage.fits_files import scan

Looked = dict[str, tuple[Broken, Path, Outcome]]


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with Child() as process:
        yield process


@pytest.fixture(scope="module")
def looked(child: Child, tmp_path_factory: pytest.TempPathFactory) -> Looked:
    """Each file of the corpus in a folder of its own, with what became of it."""
    found: Looked = {}
    for i, broken in enumerate(corpus.corpus()):
        path = tmp_path_factory.getbasetemp() / f"corpus{i:04d}" / file_name(broken)
        path.parent.mkdir()
        broken.make(path)
        assert broken.name not in found
        found[broken.name] = broken, path, child.look(path)
    return found


def _differs(broken: Broken, found: Outcome) -> str:
    """What is not as it must be with one file; empty where all is."""
    if bad := trouble(found):
        return bad
    if broken.reason and not re.search(broken.reason, found.reason, re.DOTALL):
        return f"reason {found.reason!r}, not {broken.reason!r}"
    if broken.reason and found.stage == "done":
        return "is taken for whole"
    wanted = [[*data.shape, float(data.sum(dtype=np.float64)), data.size] for data in broken.images]
    if broken.reason is None and (found.stage, found.sums) != ("done", wanted):
        return f"ends at the {found.stage} with {found.sums}, not {wanted}: {found.reason}"
    return ""


def test_each_broken_file_is_refused_with_its_reason_or_gives_its_pixels(looked: Looked) -> None:
    """More than 200 kinds of damage. Checksums are not verified: of good files, edited since, many have stale ones."""
    assert len(looked) > 500
    wrong = {name: bad for name, (broken, _, found) in looked.items() if (bad := _differs(broken, found))}
    assert not wrong, "\n".join(f"{name}: {bad}" for name, bad in wrong.items())


def _refused(looked: Looked) -> dict[str, Path]:
    """Files that the scan alone refuses, by their own names."""
    return {
        path.name: path for _, path, found in looked.values() if found.stage == "scan" and not path.is_dir()
    }  # fmt: skip


def test_a_folder_of_broken_files_gives_its_good_one(looked: Looked, tmp_path: Path) -> None:
    """C27: each is skipped by name and with a reason; ``strict`` raises at the first."""
    refused = _refused(looked)
    (tmp_path / "good.fits").write_bytes(image())
    for name, path in refused.items():
        path.rename(tmp_path / name)
    try:
        images = scan(tmp_path)
        with pytest.raises(InputError, match=re.escape(sorted(refused)[0])):
            scan(tmp_path, strict=True)
    finally:
        for name, path in refused.items():
            (tmp_path / name).rename(path)
    assert [ref.name for ref in images] == ["good.fits"]
    assert {item.name for item in images.skipped} == set(refused)
    assert all(item.reason for item in images.skipped)


def test_what_shows_only_in_the_pixels_is_left_out_of_a_mosaic(looked: Looked, tmp_path: Path) -> None:
    """Tiles that lie, a gzip stream with a wrong checksum: the mosaic is that of the good image."""
    late = [path for broken, path, found in looked.values() if broken.reason and found.stage == "read"]
    assert len(late) > 20
    (tmp_path / "good.fits").write_bytes(image())
    images = scan([tmp_path / "good.fits", *late])
    assert len(images) == len(late) + 1
    good = next(ref for ref in images if ref.name == "good.fits")
    mosaic = dm.mosaic(images, good.grid, background="none")
    np.testing.assert_allclose(mosaic.compute().data, corpus.PIXELS, rtol=1e-6)
    assert {item.name.partition("[")[0] for item in mosaic.summary.skipped} == {path.name for path in late}
    with pytest.raises(InputError, match="cannot be read"):
        dm.mosaic(images, good.grid, background="none", strict=True).compute()


def test_harmless_damage_leaves_the_mosaic_alone(looked: Looked, tmp_path: Path) -> None:
    """The mean of equal images on one grid is each of them."""
    (tmp_path / "good.fits").write_bytes(image())
    grid = scan(tmp_path / "good.fits")[0].grid
    paths = [path for broken, path, _ in looked.values() if broken.reason is None and broken.images[0] is corpus.PIXELS]
    images = [ref for ref in scan(paths) if ref.grid == grid]
    assert len(images) > 20
    data = dm.mosaic(images, grid, background="none").compute().data
    np.testing.assert_allclose(data, corpus.PIXELS, rtol=1e-6)


# --- more of them -------------------------------------------------------------------------------------------------

_LOOKUP = [card("DP1", f"'{text}'") for text in ("EXTVER: 1", "NAXES: 2", "AXIS.1: 1", "AXIS.2: 2")]
GOOD = {
    "plain": image(),
    "integers": image(BITPIX="16", BSCALE="2.0", BZERO="1.0", BLANK="-1", body=bytes(160)),
    "sip": image(**corpus.SIP, A_2_0="1E-5", B_1_1="1E-5"),
    "tpv": image(CTYPE1="'RA---TPV'", CTYPE2="'DEC--TPV'", PV1_1="1.0", PV2_1="1.0", PV1_7="1E-4"),
    "two": corpus.head(corpus.EMPTY) + chip() + chip(CRVAL1="83.801"),
    "lookup": image(*_LOOKUP, CPDIS1="'LOOKUP'") + lookup(),
    "rice": compressed(),
    "hcompress": compressed("HCOMPRESS_1"),
    "gzipped tiles": compressed("GZIP_1"),
    "plio": compressed("PLIO_1"),
}
ODD = (
    "0", "-1", "1", "2", "3", "7", "-32", "16", "99999", "2147483647", "2147483648", "9223372036854775807", "1E400",
    "-1E30", "1E-30", "NaN", "T", "F", "''", "'x'", "", "0.5", "1E10", "360.", "'RA---SIN'", "'DEC--ZPN'", "'2'",
)  # fmt: skip


@st.composite
def spoilt(draw: DrawFn) -> tuple[str, bytes]:
    """A suffix and the bytes of a good file after a few accidents."""
    data = bytearray(GOOD[draw(st.sampled_from(sorted(GOOD)))])
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["byte", "byte", "value", "value", "value", "cut", "block", "swap", "body"]))
        rng = random.Random(draw(st.integers(0, 2**32)))
        if kind == "byte":
            for _ in range(rng.choice((1, 2, 10))):
                data[rng.randrange(min(len(data), 3 * BLOCK))] = rng.randrange(256)
        elif kind == "body":
            for _ in range(rng.choice((1, 10, 100))):
                data[-1 - rng.randrange(min(len(data), BLOCK))] = rng.randrange(256)
        elif kind == "value":
            cards = [i for i in range(0, len(data) - 79, 80) if data[i + 8 : i + 10] == b"= "] or [0]
            at = rng.choice(cards)
            data[at + 10 : at + 80] = rng.choice(ODD).rjust(20).ljust(70).encode()
        elif kind == "cut":
            data = data[: rng.randrange(1, len(data) + 1)]
        elif kind == "block":
            at = BLOCK * rng.randrange(len(data) // BLOCK + 1)
            data[at:at] = rng.choice((bytes(BLOCK), b" " * BLOCK, bytes(data[:BLOCK]), rng.randbytes(BLOCK)))
        else:
            i, j = (80 * rng.randrange(max(min(len(data), BLOCK) // 80, 1)) for _ in "ab")
            data[i : i + 80], data[j : j + 80] = data[j : j + 80], data[i : i + 80]
        if not data:
            data = bytearray(b"S")
    if draw(st.booleans()):
        return ".fits", bytes(data)
    packed = bytearray(gzip.compress(bytes(data), 1, mtime=0))
    if draw(st.booleans()):
        packed[draw(st.integers(0, len(packed) - 1))] ^= 1 << draw(st.integers(0, 7))
    return ".fits.gz", bytes(packed)


def _look_at(spoilt_file: tuple[str, bytes], child: Child, folder: Path) -> None:
    suffix, data = spoilt_file
    path = folder / f"spoilt{suffix}"
    path.write_bytes(data)
    bad = trouble(child.look(path))
    assert not bad, bad


@given(spoilt())
@settings(max_examples=300)
def test_accidents(child: Child, tmp_path_factory: pytest.TempPathFactory, spoilt_file: tuple[str, bytes]) -> None:
    _look_at(spoilt_file, child, tmp_path_factory.getbasetemp())


@pytest.mark.slow
@given(spoilt())
@settings(max_examples=20_000, derandomize=False)
def test_many_accidents(child: Child, tmp_path_factory: pytest.TempPathFactory, spoilt_file: tuple[str, bytes]) -> None:
    _look_at(spoilt_file, child, tmp_path_factory.getbasetemp())
