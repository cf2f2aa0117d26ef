"""Companions in files: weight maps, masks and variances beside images, and numbers of the images as a whole.

A map is named once for all images: by the EXTNAME of an HDU in the image's own file ("WHT"; where a file holds several
images, the one of the same EXTVER), or, told by a dot in it, by what follows the image's name in that of a file beside
it (".weight.fits": x.fits has x.weight.fits). Headers are read, no pixels.
"""

from __future__ import annotations

import math
from collections import defaultdict
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from astropy.io import fits

from dmontage.errors import InputError, UnreachableError
from dmontage.fits_files.common import first_line, quiet
from dmontage.fits_files.image_numbers import ImageNumbers
from dmontage.fits_files.opening import opened
from dmontage.fits_files.scanner import scan
from dmontage.fits_files.structure import hdu_starts
from dmontage.model import Companions, ImageRef, Images, Skipped, none_usable
from dmontage.places import MissingError, Url, place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dmontage.places import Place

__all__ = ["Wanted", "find_companions", "map_for"]

_SUFFIXES = (".fits.fz", ".fits.gz", ".fit.gz", ".fts.gz", ".fits", ".fit", ".fts", ".fz", ".gz")


class Wanted(NamedTuple):
    """Names of the companions; None for those that are not wanted."""

    weight_map: str | None = None
    mask: str | None = None
    variance: str | None = None
    image_weight: str | Mapping[str, float] | None = None
    """A header keyword, numbers by file name, or a column of a table ("FILE:COLUMN"); so are the next two."""
    zero_point: str | Mapping[str, float] | None = None
    flux_scale: str | Mapping[str, float] | None = None
    areas: bool = False
    """True for the ``x_area.fits`` files of images that have one: those on the grid already."""
    group_by: str | Mapping[str, str] | None = None
    """What tells the band of each image, named as numbers are."""

    @property
    def maps(self) -> dict[str, str]:
        """Kinds of maps for people, and their names."""
        named = zip(("weight map", "mask", "variance"), self[:3], strict=True)
        return {kind: name.strip() for kind, name in named if name is not None}

    def numbers(self) -> tuple[ImageNumbers, ...]:
        """The sources of numbers, and of the band, of images; tables are read."""
        named = ((option, getattr(self, option)) for option in ("image_weight", "zero_point", "flux_scale", "group_by"))
        return tuple(ImageNumbers.of(option, source) for option, source in named if source is not None)


def find_companions(
    images: Images, wanted: Wanted, *, strict: bool = False
) -> tuple[Images, dict[ImageRef, Companions]]:
    """What stands beside each image.

    Returns
    -------
    images, companions
        The images that have all that is wanted; those that lack something are skipped with the reason, and so are
        images that turn out to be companions.

    Raises
    ------
    InputError
        If an image lacks something (``strict``), or all do; if something wanted is no name, or names no image.
    """
    if wanted == Wanted():
        return images, {}
    _check(wanted)
    numbers = wanted.numbers()
    for source in numbers:
        source.check_names(images)
    files: dict[str, list[ImageRef]] = defaultdict(list)  # in order of names, files of one name stand mixed
    for ref in images:
        files[ref.path].append(ref)
    beside = dict(chain.from_iterable(_in_file(path, refs, wanted, numbers) for path, refs in files.items()))
    lacking = {ref: reason for ref in images if not isinstance(reason := beside[ref], Companions)}
    for ref, reason in lacking.items():
        if strict and isinstance(reason, InputError):
            raise InputError(f"{ref.path}: {reason}") from reason
    skipped = [Skipped(ref.name, str(reason)) for ref, reason in lacking.items()]
    found = {ref: companions for ref in images if isinstance(companions := beside[ref], Companions)}
    if not found:
        raise none_usable(skipped)
    return Images(tuple(found), (*images.skipped, *skipped)), found


def _check(wanted: Wanted) -> None:
    for name, value in zip(("weight_map", "mask", "variance"), wanted[:3], strict=True):
        if not (value is None or (isinstance(value, str) and value.strip())):
            raise InputError(
                f"{name} {value!r} is no name: give an EXTNAME ('WHT'), or an ending ('.weight.fits') of files"
            )


def _in_file(
    path: str, refs: list[ImageRef], wanted: Wanted, numbers: tuple[ImageNumbers, ...]
) -> Iterator[tuple[ImageRef, Companions | InputError | str]]:
    """Each image of a file with its companions, with the error that it has not what is wanted, or with what it is."""
    kinds = [kind for kind, name in wanted.maps.items() if "." in name and path.endswith(name)]
    if kinds:
        yield from ((ref, f"it is a {kinds[0]}, no image") for ref in refs)
        return
    with ExitStack() as stack:
        stack.enter_context(quiet)
        try:
            hdus = stack.enter_context(opened(path))
        except (OSError, MissingError) as error:
            reason = InputError(f"cannot be opened: {getattr(error, 'strerror', None) or first_line(error)}")
            yield from ((ref, reason) for ref in refs)
            return
        for ref in refs:
            try:
                yield ref, _of_image(hdus, ref, wanted, numbers)
            except UnreachableError:
                raise
            except InputError as error:
                yield ref, error
            except Exception as error:  # damage has many kinds
                yield ref, InputError(f"cannot be read: {first_line(error)}")


def _of_image(hdus: fits.HDUList, ref: ImageRef, wanted: Wanted, numbers: tuple[ImageNumbers, ...]) -> Companions | str:
    maps: dict[str, ImageRef] = {}
    for kind, name in wanted.maps.items():
        if hdus[ref.hdu].name == name.upper():
            return f"it is a {kind}, no image"
        maps[kind] = _beside(ref, kind, name) if "." in name else _in_same(hdus, ref, kind, wanted)
    found = {source.option: source.number(hdus, ref) for source in numbers if source.option != "group_by"}
    bands = [source.word(hdus, ref) for source in numbers if source.option == "group_by"]
    return Companions(
        maps.get("weight map"),
        maps.get("mask"),
        maps.get("variance"),
        factor=found.get("image_weight", 1.0),
        scale=found.get("flux_scale", 1.0),
        zero_point=found.get("zero_point"),
        area=_area(ref) if wanted.areas else None,
        band=bands[0] if bands else None,
    )


def _area(ref: ImageRef) -> ImageRef | None:
    """The area file of an image, named as Montage and this package do, packed as the image is or not; None without."""
    image = place(ref.path)
    stem, end = _parts(image)
    if not end:
        stem, end = image.stem, image.suffix
    paths = (image.with_name(f"{stem}_area{each}") for each in dict.fromkeys((end, ".fits")))
    return next((map_for(ref, "area file", path) for path in paths if path.is_file()), None)


def _in_same(hdus: fits.HDUList, ref: ImageRef, kind: str, wanted: Wanted) -> ImageRef:
    version, name = hdus[ref.hdu].ver, wanted.maps[kind]
    named = [i for i, hdu in enumerate(hdus) if hdu.name == name.upper()]
    same = [i for i in named if hdus[i].ver == version]
    if not same and len(named) == 1 and _is_alone(hdus, ref, wanted):
        same = named
    if not same:
        other = f" of version (EXTVER) {version}" if named else ""
        raise InputError(f"has no {kind}: no HDU named {name.upper()}{other}")
    _check_shape(hdus[same[0]], ref, f"{kind}, HDU {same[0]},")
    return ImageRef(ref.path, same[0], ref.grid, "", ref.size, ref.stamp)


def _is_alone(hdus: fits.HDUList, ref: ImageRef, wanted: Wanted) -> bool:
    """True for the only image of its file, whatever of the file was selected."""
    names = {name.upper() for name in wanted.maps.values()}
    return [other.hdu for other in scan(ref.path) if hdus[other.hdu].name not in names] == [ref.hdu]


def _beside(ref: ImageRef, kind: str, suffix: str) -> ImageRef:
    image = place(ref.path)
    path = image.with_name(_parts(image)[0] + suffix)
    if not path.is_file():
        raise InputError(f"has no {kind}: there is no {path.name} beside it")
    return map_for(ref, kind, path)


def _parts(path: Place) -> tuple[str, str]:
    """A file's name without the ending of a FITS file, packed or not, and that ending; nothing for another."""
    end = next((s for s in _SUFFIXES if path.name.lower().endswith(s)), "")
    at = len(path.name) - len(end)
    return path.name[:at], path.name[at:]


def map_for(ref: ImageRef, kind: str, path: Place) -> ImageRef:
    """The map of a kind ("weight map") of an image in a file: in the HDU of the image's number, or the only one.

    Raises
    ------
    InputError
        If it cannot be opened, or has no image of that shape.
    """
    if isinstance(path, Url):
        path = path.with_head()
    stat = path.stat()
    try:
        hdu_starts(path, stat.st_size)
    except UnreachableError:
        raise
    except InputError as error:
        raise InputError(f"its {kind} {path.name} cannot be opened: {error}") from error
    try:
        with opened(path) as hdus:
            flat = [i for i, hdu in enumerate(hdus) if hdu.is_image and len(hdu.shape) >= 2]
            chosen = ref.hdu if ref.hdu in flat else flat[0] if len(flat) == 1 else None
            if chosen is None:
                raise InputError(f"its {kind} {path.name} has no image in HDU {ref.hdu}")
            _check_shape(hdus[chosen], ref, f"{kind} {path.name}")
    except InputError:
        raise
    except Exception as error:  # damage has many kinds
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"its {kind} {path.name} cannot be opened: {reason}") from error
    return ImageRef(str(path), chosen, ref.grid, "", stat.st_size, stat.st_mtime_ns)


def _check_shape(hdu: Any, ref: ImageRef, name: str) -> None:
    shape = getattr(hdu, "shape", ())
    if tuple(shape[-2:]) != ref.grid.shape or math.prod(shape[:-2]) != 1:
        raise InputError(f"its {name} has shape {tuple(shape)}, the image {ref.grid.shape}")
