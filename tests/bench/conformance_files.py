"""What must hold of tables and templates, of the network, of what is skipped, and of cutouts."""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from astropy.io import fits
from checks import Check, check_of
from headers import header
from projectors import ToolFailed
from toolkit import TOOLKITS, Toolkit, by_dmontage, by_montage, by_montagepy

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "montage")]

from six_images import make  # noqa: E402
from surveys import damage, image_header, make_survey, write_image  # noqa: E402
from test_match_beside_montage import STAGES, WAYS, levels_left  # noqa: E402

import dmontage as dm  # noqa: E402
from dmontage.fits_files import read  # noqa: E402
from dmontage.grid import Grid  # noqa: E402
from dmontage.montage.tables import read_rows, write_rows  # noqa: E402

ODD: dict[str, Any] = {
    "CRVAL1": 10.123456789012345,
    "CRVAL2": 20.987654321098765,
    "CRPIX1": 20.123456789,
    "CRPIX2": 19.987654321,
}
"""Numbers of a header that need all their digits."""

# -- tables and templates: C26 -----------------------------------------------------------------------------------------


def mixed(whose: str) -> float:
    """Largest level that chains of overlaps, differences, fits, model and correction leave, with one stage changed.

    "their": a stage of Montage's in this package's chain; "our": the other way round. Tables go between all of them.
    """
    found = []
    for way in (way for way in WAYS if way.startswith(f"{whose} ")):
        with tempfile.TemporaryDirectory() as name:
            scene = make(Path(name), noise=0.5, rims=1.0)
            for stage, theirs in zip(STAGES, WAYS[way], strict=True):
                stage(theirs, scene)
            found.append(float(np.abs(levels_left(scene)).max()))
    assert len(found) == len(STAGES)
    return max(found)


def image_digits(call: Toolkit) -> float:
    """Largest relative difference of the numbers of mImgtbl's table from the header's."""
    head = header(40, 1.0000000123, **ODD)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "raw").mkdir()
        fits.PrimaryHDU(np.ones((40, 40)), head).writeto(folder / "raw" / "a.fits")
        call(folder, "mImgtbl", "raw", "i.tbl")
        row = read_rows(str(folder / "i.tbl"), tuple(map(str.lower, ODD)))[0]
    return max(abs(float(row[key.lower()] / head[key]) - 1) for key in ODD)


def fit_digits(call: Toolkit) -> float:
    """Relative difference of the level in mFitExec's table from that of a constant image, 1/3."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fits.PrimaryHDU(np.full((40, 40), 1 / 3), header(40)).writeto(folder / "d.fits")
        write_rows(str(folder / "d.tbl"), {"cntr1": int, "cntr2": int, "diff": str}, [[0, 1, "d.fits"]])
        call(folder, "mFitExec", "d.tbl", "f.tbl", ".")
        row = read_rows(str(folder / "f.tbl"), ("a", "b", "c"))[0]
    return abs(float(row["c"] * 3 - 1))


def template_digits(call: Toolkit) -> float:
    """Relative difference of CDELT2 in mMakeHdr's template of an image from its pixels of 0.0012345678 arcsec."""
    small = Grid.around("10 20", shape=(60, 50), scale="0.0012345678 arcsec", frame="fk5")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "raw").mkdir()
        fits.writeto(folder / "raw" / "a.fits", np.ones(small.shape), small.to_header(naxis=False))
        by_dmontage(folder, "mImgtbl", "raw", "i.tbl")
        call(folder, "mMakeHdr", "i.tbl", "t.hdr")
        found = fits.Header.fromtextfile(folder / "t.hdr")["CDELT2"]
    return abs(float(found / small.to_header()["CDELT2"]) - 1)


# -- the network, and what is skipped: C27 -----------------------------------------------------------------------------


@contextmanager
def refused() -> Iterator[list[str]]:
    """Refuse this process the network; the list tells what was asked for."""
    asked: list[str] = []

    def refusal(name: str) -> Callable[..., Any]:
        def refuse(*_: object, **__: object) -> None:
            asked.append(name)
            raise OSError("the network is refused")

        return refuse

    with ExitStack() as stack:
        for name in ("connect", "connect_ex", "sendto"):
            stack.enter_context(mock.patch.object(socket.socket, name, refusal(name)))
        for name in ("create_connection", "getaddrinfo"):
            stack.enter_context(mock.patch.object(socket, name, refusal(name)))
        yield asked


@contextmanager
def proxy() -> Iterator[list[str]]:
    """A proxy for programs that are started here: it hangs up on each connection, and lists it."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):  # closed below
                while True:
                    connection, _ = server.accept()
                    asked.append("connect")
                    connection.close()

        threading.Thread(target=answer, daemon=True).start()
        address = "http://{}:{}/".format(*server.getsockname())
        with mock.patch.dict("os.environ", {"http_proxy": address, "HTTP_PROXY": address}):
            yield asked
        server.shutdown(socket.SHUT_RDWR)


def template_without_network(call: Toolkit, *words: Any) -> float:
    """Connections that mHdr asks for, about a place that is given in degrees."""
    with tempfile.TemporaryDirectory() as name, (refused if call is by_dmontage else proxy)() as asked:
        try:
            call(Path(name), "mHdr", "83.82 -5.39", 0.1, *words)
        except ToolFailed:
            if not asked:
                raise
    return float(len(asked))


def mosaic_without_network() -> float:
    """Connections that a scan, a grid from the images' headers, the plan, and the mosaic ask for."""
    with tempfile.TemporaryDirectory() as name:
        survey = make_survey(Path(name, "raw"))
        with refused() as asked:
            dm.mosaic(dm.scan(survey.folder)).write(Path(name, "m.fits"))
    return float(len(asked))


def unaccounted(call: Toolkit) -> float:
    """Of an image, one far from the grid, one without a WCS, and a text: files neither projected nor counted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("raw", "projected"):
            (folder / part).mkdir()
        fits.PrimaryHDU(np.ones((40, 40)), header(40)).writeto(folder / "raw" / "a.fits")
        fits.PrimaryHDU(np.ones((40, 40)), header(40, CRVAL1=10.0)).writeto(folder / "raw" / "far.fits")
        fits.PrimaryHDU(np.ones((40, 40))).writeto(folder / "raw" / "plain.fits")
        (folder / "raw" / "notes.fits").write_text("nothing")
        (folder / "t.hdr").write_text(Grid.from_header(header(40)).to_template())
        table = call(folder, "mImgtbl", "raw", "i.tbl")
        if call is by_montage:
            told = call(folder, "mProjExec", "i.tbl", "t.hdr", "projected", "stats.tbl", flags=("-p", "raw"))
        else:
            told = call(folder, "mProjExec", "raw", "i.tbl", "t.hdr", projdir="projected")
        projected = len(list((folder / "projected").glob("*_area.fits")))
    return abs(float(4 - projected - table["badfits"] - table["badwcs"] - told["failed"] - told["nooverlap"]))


def unnamed() -> float:
    """Files of a folder that a mosaic neither uses nor names with a reason: a text, one far away, one damaged."""
    with tempfile.TemporaryDirectory() as name:
        survey = make_survey(Path(name, "raw"))
        (survey.folder / "notes.fits").write_text("nothing")
        write_image(survey.folder / "far.fits", np.zeros((20, 20), np.float32), image_header(5000, shape=(20, 20)))
        damage(survey.paths[3])
        made = dm.mosaic(survey.folder, survey.grid)
        made.compute()
        files = len(list(survey.folder.iterdir()))
    named = {item.name.partition("[")[0] for item in made.summary.skipped if item.reason}
    return abs(float(files - made.summary.images - len(named)))


# -- cutouts: C30 ------------------------------------------------------------------------------------------------------


def read_for_cutout(background: str) -> float:
    """Images that are read for a cutout of a mosaic of twelve, less those under it; of a matched one once solved."""
    names: list[str] = []

    def spy(ref: Any) -> Any:
        names.append(ref.name)
        return read(ref)

    with tempfile.TemporaryDirectory() as name:
        survey, store = make_survey(Path(name, "raw"), layout=(3, 4)), Path(name, "run.zarr")
        if background != "none":
            dm.mosaic(survey.folder, store=store, background=background).compute()
            for mark in (store / "projected" / "mark").glob("c*"):  # as if nothing were projected
                mark.unlink()
        made = dm.mosaic(survey.folder, store=store, background=background)
        cutout = made.cutout("83.83 -5.41", "30 arcsec")
        under = {row.image.name for row in made.plan.rows if row.window & cutout.window}
        with mock.patch("dmontage.graph.rows.read", spy):
            assert np.isfinite(cutout.compute().data).all()
    assert under <= set(names) and len(under) < 12
    return float(len(names) - len(under))


FILES: list[Check] = [
    check_of("C26 numbers of a header in mImgtbl's table, relative", 0, TOOLKITS, image_digits),
    check_of("C26 a level of 1/3 in mFitExec's table, relative", 1e-14, TOOLKITS, fit_digits),
    check_of("C26 CDELT of 0.0012 arcsec in mMakeHdr's template, relative", 1e-14, TOOLKITS, template_digits),
    Check("C26 chains with one stage of the other's: largest level left", 0.27, {
        "dmontage": ("Montage", lambda: mixed("their")),
        "Montage": ("Montage", lambda: mixed("our")),
    }),
    Check("C27 connections that mHdr asks for", 0, {
        "dmontage": ("dmontage", lambda: template_without_network(by_dmontage, 0.1, "t.hdr")),
        "Montage": ("Montage", lambda: template_without_network(by_montage, "t.hdr")),
        "MontagePy": ("MontagePy", lambda: template_without_network(by_montagepy, 0.1, "t.hdr")),
    }),
    Check("C27 connections that a whole mosaic asks for", 0, {"dmontage": ("dmontage", mosaic_without_network)}),
    check_of("C27 files neither projected nor counted, of four", 0, TOOLKITS, unaccounted),
    Check("C27 files neither used nor named by a mosaic", 0, {"dmontage": ("dmontage", unnamed)}),
    Check("C30 images read for a cutout, less its own", 0, {"dmontage": ("dmontage", lambda: read_for_cutout("none"))}),
    Check("C30 the same of a matched mosaic, once solved", 0, {
        "dmontage": ("dmontage", lambda: read_for_cutout("plane")),
    }),
]  # fmt: skip
