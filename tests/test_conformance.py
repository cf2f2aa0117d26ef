"""Statements of the conformance list about whole mosaics: backgrounds (C20), and files without a network (C27)."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner
from surveys import blocks_of, damage, image_header, make_survey, write_image

import dmontage as dm
from dmontage.cli import main
from dmontage.demo.judge_background import without_plane
from dmontage.demo.simulate import simulate

BLOCK = 64


class Flatness(NamedTuple):
    """Root mean square of a mosaic's block medians about one plane, in units of a raw pixel's noise."""

    measured: float
    predicted: float


def flatness(folder: Path, seed: int, size: float, n_pixels: tuple[int, int]) -> Flatness:
    """Simulate, mosaic and measure one sky; the stated errors are those of the same blocks as are measured."""
    truth = simulate(folder / "raw", size, seed, n_pixels)
    mosaic = dm.mosaic(folder / "raw", store=folder / "run.zarr")
    flat = without_plane(blocks_of(mosaic, truth, BLOCK).residual)
    stated = mosaic.background_error_map(side=BLOCK).error[np.isfinite(flat)]
    # The noise of a block of pixels is not an error of the background; a median has π/2 of a mean's variance.
    noise = np.pi / 2 * (truth.noise / BLOCK) ** 2
    mosaic.close(remove=True)
    return Flatness(*(float(np.sqrt(v)) / truth.noise for v in (np.nanmean(flat**2), np.mean(stated**2) + noise)))


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
        measured, predicted = results[-1]
        print(f"seed {seed}: rms {measured:.4f}, stated {predicted:.4f}, ratio {measured / predicted:.2f}")
    check_flatness(results)
    assert np.mean([result.measured for result in results]) <= 0.12
