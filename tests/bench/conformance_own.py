"""What must hold of differences, compressed files, bits and variances: checks that ask each tool in its own way."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
from astropy.io import fits
from checks import Check
from headers import DEC, RA, header, turned
from projectors import Projector, by_dmontage, by_montage, put, run, shape_of, solid_angles, take

import dmontage as dm
from dmontage.demo.simulate import simulate
from dmontage.fits_files import product_digests
from dmontage.grid import Grid
from dmontage.mapping import fit_mapping
from dmontage.montage import mDiff


def difference(program: Callable[[Path], object]) -> float:
    """Largest difference of two fields of 150 whose areas are 1 and 0.3 of a pixel, where it is kept."""
    grid = header(40)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for k, part in enumerate((1.0, 0.3)):
            fits.PrimaryHDU(np.full((40, 40), 150.0), grid).writeto(folder / f"{k}.fits")
            fits.PrimaryHDU(part * solid_angles(grid), grid).writeto(folder / f"{k}_area.fits")
        (folder / "grid.hdr").write_text("\n".join([*(card.image.rstrip() for card in grid.cards), "END"]) + "\n")
        program(folder)
        return float(np.nanmax(np.abs(fits.getdata(folder / "d.fits"))))


def ours_of_difference(folder: Path) -> object:
    """mDiff, as this package has it."""
    a, b, out, template = (str(folder / name) for name in ("0.fits", "1.fits", "d.fits", "grid.hdr"))
    return mDiff(a, b, out, template)


def compressed(project: Callable[[Path, int], Any]) -> float:
    """Largest difference between projections of a file and of the same compressed without loss."""
    values = np.random.default_rng(1).normal(100, 1, (40, 40)).astype(np.float32)
    head = header(40, BITPIX=-32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fits.PrimaryHDU(values, head).writeto(folder / "plain.fits")
        packed = fits.CompImageHDU(values, head, compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(folder / "packed.fits.fz")
        (folder / "grid.hdr").write_text("\n".join([*(card.image.rstrip() for card in turned(64).cards), "END"]) + "\n")
        plain, other = (project(folder / file, hdu) for file, hdu in (("plain.fits", 0), ("packed.fits.fz", 1)))
    assert np.isfinite(plain).any()
    return float(np.nanmax(np.abs(np.nan_to_num(plain) - np.nan_to_num(other))))


def by_mprojectpp(path: Path, hdu: int) -> Any:
    """mProjectPP of an HDU (mProject of Montage 6.0 takes the first alone)."""
    run(["mProjectPP", "-f", "-h", str(hdu), path.name, f"{path.stem}_out.fits", "grid.hdr"], path.parent)
    return fits.getdata(path.with_name(f"{path.stem}_out.fits"))


def by_reproject_exact(path: Path, hdu: int) -> Any:
    """reproject_exact of an HDU."""
    from reproject import reproject_exact

    return reproject_exact(str(path), turned(64), hdu_in=hdu)[0]


def bits() -> float:
    """Mosaics of other bits than the first, over threads and sizes of chunks."""
    digests = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(folder / "raw", 0.06, 1, (256, 128))
        for k, (threads, limit) in enumerate(((1, 2e9), (2, 2e9), (2, 4.2e8))):
            with dask.config.set(scheduler="threads", num_workers=threads):
                dm.mosaic(folder / "raw", memory_limit=limit, workers=threads).write(folder / f"{k}.fits")
            digests.append(product_digests(folder / f"{k}.fits"))
    return float(sum(digest != digests[0] for digest in digests))


def variance(n: int = 400) -> float:
    """Variance of a projected pixel over that of ``n`` draws of noise, mean of the field, less 1."""
    head, grid, rng = header(24), turned(40), np.random.default_rng(1)
    draws = np.array([by_dmontage("plane")(rng.normal(size=(24, 24)), head, grid)[0] for _ in range(n)])
    _, area, stated = dm.project((np.zeros((24, 24)), head), grid, variance=np.ones((24, 24)))
    inside = area.compute() > 0.999
    assert inside.sum() > 100 and draws.shape[1:] == shape_of(grid)
    return abs(float(np.mean(stated.compute()[inside] / draws.var(axis=0)[inside])) - 1)


def kernels() -> float:
    """Largest difference of the two kernels' means over the bound that is stated, for values between 0.5 and 1.5."""
    values = np.random.default_rng(1).uniform(0.5, 1.5, (40, 40))
    head, grid = header(40, 20.0), turned(64, 20.0)
    (plane, area), (sphere, _) = (by_dmontage(method)(values, head, grid) for method in ("plane", "sky"))
    inside = area > 0.999 * solid_angles(grid)
    bound = fit_mapping(Grid.from_header(head), Grid.from_header(grid)).bound
    return float(np.abs(plane - sphere)[inside].max()) / bound


def weights(weighted: Callable[[Path], Any], plain: Projector) -> float:
    """How far a pixel of weight 0 and one of weight NaN change the mosaic, against the same pixels blank."""
    grid, values = turned(64), np.random.default_rng(1).uniform(0.5, 1.5, (40, 40))
    weight = np.ones((40, 40))
    weight[10, 10], weight[20, 20] = 0, np.nan
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        put(folder, values, header(40), grid)
        fits.PrimaryHDU(weight, header(40)).writeto(folder / "weight.fits")
        found = np.asarray(weighted(folder), dtype=float)
    true, _ = plain(np.where(weight > 0, values, np.nan), header(40), grid)
    same = (found == true) | (np.isnan(found) & np.isnan(true))
    return float(np.max(np.abs(np.where(same, 0, np.nan_to_num(found) - np.nan_to_num(true)))))


def weights_of_dmontage(folder: Path) -> Any:
    """`dmontage.project` with a weight map."""
    weight = fits.getdata(folder / "weight.fits")
    return dm.project(str(folder / "in.fits"), turned(64), method="sky", weights=weight)[0].compute()


def weights_of_mproject(folder: Path) -> Any:
    """mProject with a weight map."""
    run(["mProject", "-f", "-w", "weight.fits", "in.fits", "out.fits", "grid.hdr"], folder)
    return take(folder)[0]


def open_files() -> float:
    """Most files open at once while 400 images of 16 × 16 pixels are mosaicked."""
    rng, most, done = np.random.default_rng(1), 0, threading.Event()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "raw").mkdir()
        for k in range(400):
            place: dict[str, Any] = {"CRVAL1": RA + rng.uniform(-0.02, 0.02), "CRVAL2": DEC + rng.uniform(-0.02, 0.02)}
            fits.PrimaryHDU(rng.normal(size=(16, 16)).astype("f4"), header(16, **place)).writeto(
                folder / "raw" / f"{k}.fits"
            )

        def watch() -> None:
            nonlocal most
            while not done.wait(0.002):
                most = max(most, len(os.listdir("/proc/self/fd")))  # noqa: PTH208

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            dm.mosaic(folder / "raw", background="none").write(folder / "m.fits")
        finally:
            done.set()
            watcher.join()
    return float(most)


OWN: list[Check] = [
    Check("C7 pixels of weight 0 and NaN: difference from blank ones", 1e-9, {
        "dmontage": ("dmontage", lambda: weights(weights_of_dmontage, by_dmontage("sky"))),
        "Montage": ("Montage", lambda: weights(weights_of_mproject, by_montage("mProject"))),
    }),
    Check("C14 difference of both kernels over the stated bound", 1, {"dmontage": ("dmontage", kernels)}),
    Check("C29 files open at once, of 400 images", 64, {"dmontage": ("dmontage", open_files)}),
    Check("C15 equal fields of 150, areas 1 and 0.3: largest difference", 1e-9, {
        "dmontage": ("dmontage", lambda: difference(ours_of_difference)),
        "Montage": ("Montage", lambda: difference(
            lambda folder: run(["mDiff", "0.fits", "1.fits", "d.fits", "grid.hdr"], folder))),
    }),
    Check("C24 mosaics of other bits: threads, chunks", 0, {"dmontage": ("dmontage", bits)}),
    Check("C25 stated variance over that of 400 draws, less 1", 0.05, {"dmontage": ("dmontage", variance)}),
    Check("C28 compressed against plain file", 0, {
        "dmontage": ("dmontage", lambda: compressed(
            lambda path, hdu: dm.project(str(path), turned(64), hdu=hdu)[0].compute())),
        "Montage": ("Montage", lambda: compressed(by_mprojectpp)),
        "reproject": ("reproject", lambda: compressed(by_reproject_exact)),
    }),
]  # fmt: skip
