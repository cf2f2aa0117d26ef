"""Statements of the conformance list about whole mosaics: backgrounds (C20), and files without a network (C27)."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from surveys import damage, image_header, make_survey, write_image

import dmontage as dm
from dmontage.background import Solution
from dmontage.cli import main
from dmontage.demo.judge import judge
from dmontage.demo.simulate import simulate
from dmontage.pipeline import Mosaic
from dmontage.store import Store

Floats = NDArray[np.float64]

BLOCK = 64


class Flatness(NamedTuple):
    """Root mean square of a mosaic's block medians about one plane, in units of a raw pixel's noise."""

    measured: float
    predicted: float


def block_means(values: Floats, shape: tuple[int, int], y0: int, x0: int) -> Floats:
    """Sums over the blocks of a mosaic of an array that lies at pixel (y0, x0), per pixel of a whole block."""
    ny, nx = (-(-n // BLOCK) for n in shape)
    rows, columns = ((np.arange(n) + first) // BLOCK for n, first in zip(values.shape, (y0, x0), strict=True))
    index = (rows[:, None] * nx + columns).ravel()
    return np.bincount(index, values.ravel(), minlength=ny * nx) / BLOCK**2


def functionals(mosaic: Mosaic, path: Path) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """What each block's mean has of every correction (blocks, 3 images), its noise variance, and which blocks count."""
    store, shape = Store.open(path), mosaic.grid.shape
    rows = [(w, store.read_row(i, w, w)[1].astype(float)) for i, w in enumerate(store.windows())]
    total = np.zeros(shape)
    for w, area in rows:
        total[w.slices] += area
    covered = block_means((total > 0).astype(float), shape, 0, 0)
    part = np.zeros((covered.size, 3 * len(rows)))
    noise = np.zeros(covered.size)
    assert mosaic.solution is not None
    for i, (w, area) in enumerate(rows):
        weight = np.divide(area, total[w.slices], out=np.zeros_like(area), where=area > 0)
        x, y = np.arange(w.x0, w.x1), np.arange(w.y0, w.y1)[:, None]
        centre_x, centre_y = mosaic.solution.centres[i]
        for k, term in enumerate((weight, weight * (x - centre_x), weight * (y - centre_y))):
            part[:, 3 * i + k] = block_means(term, shape, w.y0, w.x0)
        noise += block_means(weight**2, shape, w.y0, w.x0) / BLOCK**2
    counts = covered >= 0.5
    scale = np.divide(1, covered, out=np.zeros_like(covered), where=counts)
    # A median of Gaussian noise has π/2 of the variance of a mean.
    return part * scale[:, None], np.pi / 2 * noise * scale**2, counts


def predicted_rms(solution: Solution, part: Floats, noise: Floats, counts: NDArray[np.bool_], columns: int) -> float:
    """What the covariance of the corrections and the blocks' own noise leave after one plane is taken out."""
    index = np.flatnonzero(counts)
    terms = np.stack([np.ones(index.size), index % columns, index // columns], axis=1)
    q, _ = np.linalg.qr(terms)
    part = part[counts]
    left = part - q @ (q.T @ part)
    kept = 1 - (q**2).sum(axis=1)  # of white noise
    return float(np.sqrt(np.mean(solution.variance(left) + kept * noise[counts])))


def flatness(folder: Path, seed: int, size: float, n_pixels: tuple[int, int]) -> Flatness:
    """Simulate, mosaic and measure one sky."""
    truth = simulate(folder / "raw", size, seed, n_pixels)
    mosaic = dm.mosaic(folder / "raw", store=folder / "run.zarr").write(folder / "mosaic.fits")
    verdict = judge(folder / "mosaic.fits", truth)
    measured = next(check.measured for check in verdict.checks if check.name.startswith("background flatness"))
    assert mosaic.solution is not None
    columns = -(-mosaic.grid.shape[1] // BLOCK)
    predicted = predicted_rms(mosaic.solution, *functionals(mosaic, folder / "run.zarr"), columns)
    return Flatness(measured / truth.noise, predicted / truth.noise)


def check_flatness(results: list[Flatness]) -> None:
    """The ratio of the mean squares: one sky's largest wave is one draw, many skies' waves are a variance."""
    measured, predicted = np.sqrt(np.mean(np.square(results), axis=0))
    assert 1 / 1.5 < measured / predicted < 1.5, results


def test_background_is_as_flat_as_its_covariance_says(tmp_path: Path) -> None:
    """C20, sampled: two small skies of 32 images of 128 × 256 pixels; small images leave larger errors."""
    check_flatness([flatness(tmp_path / str(seed), seed, 0.16, (256, 128)) for seed in (1, 2)])


def test_no_stage_needs_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C27: scan, plan, header and mosaic, with every connection and every look-up of a host refused."""
    survey = make_survey(tmp_path / "raw")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked for")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    result = CliRunner().invoke(main, ["mosaic", str(survey.folder), "-o", str(tmp_path / "m.fits")])
    assert result.exit_code == 0, result.output
    for arguments in (["scan"], ["plan", "--center", "05h35m12s -5d24m", "--size", "5 arcmin"], ["header"]):
        result = CliRunner().invoke(main, [*arguments, str(survey.folder)])
        assert result.exit_code == 0, result.output


def test_every_skipped_row_is_counted_and_named(tmp_path: Path) -> None:
    """C27: at the scan, by the plan and while projecting; what went in is what came out or is named."""
    survey = make_survey(tmp_path / "raw")
    (survey.folder / "notes.fits").write_text("nothing")
    write_image(survey.folder / "far.fits", np.zeros((20, 20), np.float32), image_header(5000, shape=(20, 20)))
    bad = damage(survey.paths[3])
    made = dm.mosaic(survey.folder, survey.grid)
    made.compute()
    assert made.summary.images == 5
    assert {item.name: bool(item.reason) for item in made.summary.skipped} == {
        "notes.fits": True, "far.fits": True, f"{bad.name}[1]": True,
    }  # fmt: skip
    n_files = len(list(survey.folder.iterdir()))
    assert made.summary.images + len(made.summary.skipped) == n_files == 8


@pytest.mark.slow
def test_background_over_twenty_skies(tmp_path: Path) -> None:
    """C20: 45 images of 512 × 1024 pixels, 20 seeds; rms within 1.5 of the prediction, and 0.12 noise on average."""
    results = []
    for seed in range(1, 21):
        results.append(flatness(tmp_path / str(seed), seed, 1.0, (1024, 512)))
        print(seed, *(f"{value:.4f}" for value in results[-1]))
    check_flatness(results)
    assert np.mean([result.measured for result in results]) <= 0.12
