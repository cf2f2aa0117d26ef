"""The command that makes pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from dmontage.cli.commands import main
from dmontage.cli.options import PLACE, options
from dmontage.errors import InputError

if TYPE_CHECKING:
    from dmontage.places import Place
    from dmontage.view.scene import Band, Overlay

__all__ = ["view"]

_LIMITS: dict[str, Any] = {"nargs": 2, "metavar": "LOW HIGH", "type": str}

_values = options(
    click.option("--stretch", type=click.Choice(["gaussian-log", "gaussian", "asinh", "log", "linear", "sqrt"]),
                 help="From values to shades.  [default: gaussian-log; of lupton asinh]"),
    click.option("--range", "limits", **_LIMITS,
                 help="Values shown as black and white: numbers, 'min', 'max', percentiles ('99.5%') or sigmas from "
                 "the median ('-2s'), with an offset if need be ('max-10').  "
                 "[default: -2s max, of stretches other than gaussian -2s 99.5%; of lupton about -1s 100s, as wide in "
                 "all bands]"),
    click.option("--softening", type=click.FloatRange(min=0, min_open=True),
                 help="Of asinh: the part of the range that is linear.  [default: 0.1; of lupton 0.02]"),
    click.option("--cmap", help="matplotlib's colour map, of one image.  [default: gray]"),
    click.option("--method", type=click.Choice(["stretch", "lupton", "ratio"]), default="stretch", show_default=True,
                 help="Three bands each by its own stretch; by that of their mean, colours kept; or each, and the "
                 "bands' ratios to the brightest raised to --power."),
    click.option("--power", type=click.FloatRange(1, 4), default=2.0, show_default=True, help="Of --method ratio."),
    click.option("--brightness", type=click.FloatRange(min=0), default=1.0, help="A factor.  [default: 1]"),
    click.option("--contrast", type=click.FloatRange(min=0), default=1.0, help="A factor.  [default: 1]"),
    click.option("--saturation", type=click.FloatRange(min=0), default=1.0, help="A factor, of colours.  [default: 1]"),
    click.option("--max-side", type=click.IntRange(min=0), default=2000, show_default=True,
                 help="Pixels of the larger side; larger images are shrunk by a whole factor. 0: all pixels."),
)  # fmt: skip
_over = options(
    click.option("--grid", multiple=True, metavar="FRAME[=COLOR]",
                 help="Lines of coordinates: icrs, fk5, fk4, galactic, ecliptic, ... (more than once for several)."),
    click.option("--catalog", multiple=True, type=PLACE, help="Table of places (FITS, VOTable, ECSV, IPAC, CSV)."),
    click.option("--size-by", metavar="COLUMN", help="Column of the catalogue that sizes the symbols."),
    click.option("--size-scale", type=click.Choice(["mag", "flux", "log"]), default="mag", show_default=True,
                 help="What that column holds."),
    click.option("--color-by", metavar="COLUMN", help="Column of the catalogue that colours the symbols."),
    click.option("--label-by", metavar="COLUMN", help="Column of the catalogue that is written beside them."),
    click.option("--symbol", default="circle", show_default=True, help="circle, square, diamond, cross, plus, ..."),
    click.option("--images", "outlined", multiple=True, type=PLACE,
                 help="Files and folders whose images are outlined."),
    click.option("--mark", multiple=True, metavar="PLACE[=TEXT]",
                 help="A symbol, and a text beside it: '05h35m17s -5d23m28s=Trapezium', or degrees."),
    click.option("--compass", is_flag=True, help="Arrows to the north and the east."),
    click.option("--scale-bar", is_flag=False, flag_value="", metavar="[ANGLE]",
                 help="A bar of an angle ('5 arcmin'); of a round one if none is given."),
    click.option("--color", default="yellow", show_default=True, help="Of what is drawn over the picture."),
)  # fmt: skip


@main.command()
@click.argument("image", required=False, type=PLACE)
@click.option("-o", "--output", required=True, type=PLACE, help="Picture to write: .png or .jpg.")
@click.option("--red", type=PLACE, help="With --green and --blue, instead of IMAGE: three on one grid, in colour.")
@click.option("--green", type=PLACE)
@click.option("--blue", type=PLACE)
@click.option("--hdu", help="Number or EXTNAME of the images' HDU, where a file has several.")
@click.option("--red-range", **_LIMITS, help="Of that band alone, and so --green-range, --blue-range.")
@click.option("--green-range", **_LIMITS)
@click.option("--blue-range", **_LIMITS)
@_values
@_over
def view(image: Place | None, output: Place, hdu: str | None, max_side: int, **chosen: Any) -> None:
    """Make a picture of a FITS image, or of three in colour, of any size, with what is drawn over it.

    The usual stretch is Montage's: an equalised histogram that shows faint structure and bright cores at once. Blank is
    transparent (in a JPEG white); coordinates are written into the picture (AVM).
    """
    from dmontage.view.draw import draw
    from dmontage.view.scene import Scene

    bands = _bands(image, hdu, chosen)
    if chosen["softening"] is not None and chosen["stretch"] not in ("asinh", None):
        raise InputError(f"--softening is of --stretch asinh; {chosen['stretch']} has none")
    _check_words(chosen)
    _check_colours(len(bands), chosen)
    chosen["cmap"] = chosen["cmap"] or "gray"
    scene = Scene(
        bands=bands, max_side=max_side or None, overlays=tuple(_overlays(chosen)),
        **{name: chosen[name] for name in ("cmap", "method", "power", "softening", "brightness", "contrast",
                                           "saturation")},
    )  # fmt: skip
    made = draw(scene, output)
    for note in made.notes:
        click.echo(f"note        {note}", err=True)
    shrunk = f", shrunk {made.step} x: --max-side 0 for all pixels" if made.step > 1 else ""
    click.echo(f"wrote       {output} ({made.shape[1]} x {made.shape[0]} pixels{shrunk})")


def _bands(image: Place | None, hdu: str | None, chosen: dict[str, Any]) -> tuple[Band, ...]:
    from dmontage.view.scene import Band

    colours = [chosen[name] for name in ("red", "green", "blue")]
    if (image is None) == (None in colours) or (image is not None and any(colours)):
        raise InputError("give one IMAGE, or three by --red, --green and --blue")
    number = int(hdu) if hdu is not None and hdu.isdigit() else hdu
    if image is not None:
        if told := [name for name in ("red", "green", "blue") if chosen[f"{name}_range"]]:
            raise InputError(f"--{told[0]}-range is of one band of three: give --range for one IMAGE")
        return (Band(image, number, chosen["stretch"], *(chosen["limits"] or (None, None))),)
    return tuple(
        Band(path, number, chosen["stretch"], *(chosen[f"{name}_range"] or chosen["limits"] or (None, None)))
        for name, path in zip(("red", "green", "blue"), colours, strict=True)
    )


def _overlays(chosen: dict[str, Any]) -> list[Overlay]:
    from dmontage.fits_files import scan
    from dmontage.view.scene import Overlay

    color = {"color": chosen["color"]}
    if not chosen["catalog"] and (lost := [name for name in ("size", "color", "label") if chosen[f"{name}_by"]]):
        raise InputError(f"--{lost[0]}-by names a column of --catalog, which is not given")
    found = [Overlay("grid", color | _lines(text)) for text in chosen["grid"]]
    if chosen["outlined"]:
        found.append(Overlay("images", color | {"images": scan(chosen["outlined"])}))
    columns = {"size_by": chosen["size_by"], "scale": chosen["size_scale"], "color_by": chosen["color_by"],
               "label_by": chosen["label_by"], "symbol": chosen["symbol"]}  # fmt: skip
    # Marks first: the labels of a catalogue give way to what stands there.
    found += [Overlay("marker", color | _mark(text) | {"symbol": chosen["symbol"]}) for text in chosen["mark"]]
    found += [Overlay("catalog", color | columns | {"table": str(path)}) for path in chosen["catalog"]]
    if chosen["compass"]:
        found.append(Overlay("compass", color))
    if chosen["scale_bar"] is not None:
        found.append(Overlay("scale bar", color | {"length": chosen["scale_bar"] or None}))
    return found


def _check_words(chosen: dict[str, Any]) -> None:
    """The colour and the symbol are checked whether anything is drawn in them or not."""
    from dmontage.view.checked import check_color
    from dmontage.view.signs import symbol_named

    if chosen["color"] != "yellow":  # saves matplotlib's import
        check_color(chosen["color"])
    symbol_named(chosen["symbol"])


def _check_colours(n: int, chosen: dict[str, Any]) -> None:
    """InputError of what is told of one image's colours, or of three images', where there are not as many."""
    if n == 3 and chosen["cmap"] is not None:
        raise InputError("--cmap is of one IMAGE; three are red, green and blue")
    source = click.get_current_context().get_parameter_source
    told = [name for name in ("method", "power", "saturation") if source(name) is not ParameterSource.DEFAULT]
    if n == 1 and told:
        raise InputError(f"--{told[0]} is of three images: give --red, --green and --blue, not one IMAGE")
    if "power" in told and chosen["method"] != "ratio":
        raise InputError(f"--power is of --method ratio; {chosen['method']} has none")


def _lines(text: str) -> dict[str, Any]:
    """A frame, and the colour of its lines where it is told."""
    frame, _, color = text.partition("=")
    return {"frame": frame} | ({"color": color} if color else {})


def _mark(text: str) -> dict[str, Any]:
    """A place on the sky, and what is written there."""
    from astropy.coordinates import ICRS

    from dmontage.grid.recipes import place

    where, _, name = text.partition("=")
    lon, lat = place(where, ICRS(), "mark")
    return {"lon": lon, "lat": lat, "text": name}
