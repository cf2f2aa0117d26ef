"""mProject, mProjectPP, mProjectQL, mProjectCube: one projection under Montage's four names.

All are the engine's exact overlap on the sky, on the plane where its error is bounded below 1e-5 of an output pixel.
"""

from __future__ import annotations

from typing import Any

from dmontage.errors import InputError
from dmontage.montage.inputs import border_of, template_grid
from dmontage.montage.reprojecting import Asked, project_file

__all__ = ["mProject", "mProjectCube", "mProjectPP", "mProjectQL"]


def mProject(
    input_file: str,
    output_file: str,
    template_file: str,
    hdu: int = 0,
    weight_file: str = "",
    fixedWeight: float = 1.0,
    threshold: float = 0.0,
    borderstr: str = "",
    drizzle: float = 1.0,
    fluxScale: float = 1.0,
    energyMode: bool = False,
    expand: bool = False,
    fullRegion: bool = False,
    debug: int = 0,
) -> dict[str, Any]:
    """Project an image onto a template: a file of values, NaN for blank, and one of areas in steradian.

    Parameters
    ----------
    input_file
        FITS file.
    output_file
        ``x.fits``; the areas go to ``x_area.fits``.
    template_file
        Header of the output (``.hdr``).
    hdu
        Of the image; 0 stands for the only image of a file that has none there.
    weight_file
        Weights of the pixels, an image of the same shape: they count in means and in areas.
    fixedWeight
        Multiplies the areas.
    threshold
        Weights below it are 0.
    borderstr
        Pixels left out on each side, or "x1,y1,x2,y2,..." of a polygon outside of which all are; the first pixel
        reaches from 0 to 1.
    drizzle
        Side of the square by which a pixel is laid on the output, in parts of its own, at most 1.
    fluxScale
        Multiplies the values.
    energyMode
        Values are energy per pixel, whose total is kept.
    expand
        Let the output reach beyond the template by the input's diagonal, in whole pixels.
    fullRegion
        Keep the whole template, instead of the smallest box around what has an area.
    debug
        Not used.

    Returns
    -------
    dict
        "time" in seconds.

    Raises
    ------
    InputError
        With Montage's words: "No overlap", "All pixels are blank...", "Image file X missing or invalid FITS",
        "Template file not found.", "Output wcsinit() failed."
    """
    asked = Asked(
        hdu,
        weight_file,
        fixedWeight,
        threshold,
        border_of(borderstr),
        drizzle,
        fluxScale,
        energyMode,
        expand,
        fullRegion,
    )
    return project_file(input_file, output_file, template_grid(template_file), asked)


def mProjectPP(
    input_file: str,
    output_file: str,
    template_file: str,
    hdu: int = 0,
    weight_file: str = "",
    fixedWeight: float = 1.0,
    threshold: float = 0.0,
    borderstr: str = "",
    altin: str = "",
    altout: str = "",
    drizzle: float = 1.0,
    fluxScale: float = 1.0,
    energyMode: bool = False,
    expand: bool = False,
    fullRegion: bool = False,
    debug: int = 0,
) -> dict[str, Any]:
    """`dmontage.montage.raising.mProject`, of any pair of projections and frames.

    Parameters
    ----------
    input_file, output_file, template_file, hdu, weight_file, fixedWeight, threshold
        As for `mProject`.
    borderstr, drizzle, fluxScale, energyMode, expand, fullRegion, debug
        As for `mProject`.
    altin, altout
        Headers that stand for the image's and the template's (of mTANHdr): they are read, and must be right, but the
        image's and the template's own are used, which are exact.

    Returns
    -------
    dict
        As for `mProject`.
    """
    for path in (altin, altout):
        if path:
            template_grid(path)
    return mProject(
        input_file, output_file, template_file, hdu, weight_file, fixedWeight, threshold, borderstr, drizzle, fluxScale,
        energyMode, expand, fullRegion, debug,
    )  # fmt: skip


def mProjectQL(
    input_file: str,
    output_file: str,
    template_file: str,
    hdu: int = 0,
    interp: int = 0,
    weight_file: str = "",
    fixedWeight: float = 1.0,
    threshold: float = 0.0,
    borderstr: str = "",
    fluxScale: float = 1.0,
    expand: bool = False,
    fullRegion: bool = False,
    noAreas: bool = True,
    debug: int = 0,
) -> dict[str, Any]:
    """`dmontage.montage.raising.mProject` without an area file, unless one is asked for.

    It holds steradian as those of the others do.

    Parameters
    ----------
    input_file, output_file, template_file, hdu, weight_file, fixedWeight, threshold
        As for `mProject`.
    borderstr, fluxScale, expand, fullRegion, debug
        As for `mProject`.
    noAreas
        Write no area file.
    interp
        0 (nearest) or 1 (Lanczos) in Montage; here it is exact overlap for both, which is no slower.

    Returns
    -------
    dict
        As for `mProject`.
    """
    if interp not in (0, 1):
        raise InputError(f"interp is {interp!r}; give 0 or 1")
    asked = Asked(hdu, weight_file, fixedWeight, threshold, border_of(borderstr), 1.0, fluxScale, False, expand,
                  fullRegion, areas=not noAreas)  # fmt: skip
    return project_file(input_file, output_file, template_grid(template_file), asked)


def mProjectCube(
    input_file: str,
    output_file: str,
    template_file: str,
    hdu: int = 0,
    weight_file: str = "",
    fixedWeight: float = 1.0,
    threshold: float = 0.0,
    drizzle: float = 1.0,
    fluxScale: float = 1.0,
    energyMode: bool = False,
    expand: bool = False,
    fullRegion: bool = False,
    debug: int = 0,
) -> dict[str, Any]:
    """`dmontage.montage.raising.mProject` of a cube, plane by plane; blanks of one plane are no part of another.

    There is one area file of two axes: the largest area of any plane.

    Parameters
    ----------
    input_file, output_file, template_file, hdu, weight_file, fixedWeight, threshold
        As for `mProject`.
    drizzle, fluxScale, energyMode, expand, fullRegion, debug
        As for `mProject`.

    Returns
    -------
    dict
        As for `mProject`.
    """
    return mProject(
        input_file, output_file, template_file, hdu, weight_file, fixedWeight, threshold, "", drizzle, fluxScale,
        energyMode, expand, fullRegion, debug,
    )  # fmt: skip
