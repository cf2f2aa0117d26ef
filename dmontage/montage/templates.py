"""Header templates: one card a line, END last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dmontage.aside import aside
from dmontage.errors import InputError
from dmontage.grid import Grid
from dmontage.headers import header_text, parse_header

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["read_template", "template_grid", "write_template"]


def read_template(path: str, missing: str = "Template file not found.", bad: str = "Bad template:") -> Header:
    """The cards of a template, or of a FITS file's primary HDU.

    Parameters
    ----------
    missing, bad
        What the error says first, where there is no such file, and where it holds no cards.
    """
    if not Path(path).is_file():
        raise InputError(f"{missing} There is no file {path!r}")
    try:
        return parse_header(header_text(path), name=path)
    except InputError as error:
        raise InputError(f"{bad} {error}") from error


def template_grid(path: str) -> Grid:
    """The grid of a template.

    Raises
    ------
    InputError
        In Montage's words: "Template file not found.", "Output wcsinit() failed.".
    """
    header = read_template(path, bad="Output wcsinit() failed.")
    try:
        return Grid.from_header(header)
    except InputError as error:
        raise InputError(f"Output wcsinit() failed. {path}: {error}") from error


def write_template(path: str, text: str) -> int:
    """Write a template's text, beside its name first, and renamed when whole; the number of its lines."""
    with aside(Path(path)) as part:
        part.write_text(text, encoding="ascii")
    return len(text.splitlines())
