"""Numbers or words of images, one each: from its header, from a mapping by its name, or from a column of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dmontage.errors import InputError
from dmontage.fits_files.tables import read_table
from dmontage.model import MAX_ZERO_POINT, ImageRef

if TYPE_CHECKING:
    from astropy.io import fits

    from dmontage.model import Images

__all__ = ["ImageNumbers"]

_NAMES = ("fname", "file", "filename", "name")
"""Columns of a table that may hold the names of files, in order of preference; the first is that of Montage."""


class _Kind(NamedTuple):
    """What an option's numbers are, and the limits that they lie between."""

    what: str
    example: str
    low: float
    high: float
    meaning: str


_LONGEST = 40
"""Characters of a word: it becomes a card and a part of file names."""

_KINDS = {
    "image_weight": _Kind("weight", "EXPTIME", 0.0, math.inf, "a positive number"),
    "zero_point": _Kind(
        "zero point", "MAGZP", -MAX_ZERO_POINT, MAX_ZERO_POINT,
        f"a number of magnitudes between {-MAX_ZERO_POINT:g} and {MAX_ZERO_POINT:g}",
    ),
    "flux_scale": _Kind("flux scale", "FLXSCALE", 0.0, math.inf, "a positive number"),
    "group_by": _Kind("band", "FILTER", -math.inf, math.inf, "a word or number"),
}  # fmt: skip

_FACTORS = ("image_weight", "flux_scale")
"""Options whose numbers may be one over a keyword's."""


@dataclass(frozen=True)
class ImageNumbers:
    """Where the numbers of one option come from."""

    option: str
    source: str
    """A header keyword, or what people know the entries by."""
    entries: Mapping[str, Any] | None
    """By the name of an image (with its HDU), of its file, or its path; None where headers are read."""
    inverse: bool = False
    """True for one over the keyword's number."""

    @classmethod
    def of(cls, option: str, source: Any) -> ImageNumbers:
        """Of what a user gives for ``option``: a keyword, a mapping, or "FILE:COLUMN", whose table is read.

        A factor may be one over a keyword: "1/EXPTIME".

        Raises
        ------
        InputError
            If it is none of these; if the table cannot be read, or lacks the column.
        """
        if isinstance(source, Mapping):
            return cls(option, option, source)
        if not (isinstance(source, str) and source.strip()):
            entries = "words" if option == "group_by" else "numbers"
            raise InputError(
                f"{option} {source!r} is neither a header keyword ('{_KINDS[option].example}'), nor {entries} by file "
                "name, nor a column of a table ('FILE:COLUMN')"
            )
        if ":" in source:
            return cls(option, source, _from_table(option, source))
        inverse = option in _FACTORS and source.startswith("1/")
        return cls(option, source.removeprefix("1/") if inverse else source, None, inverse)

    def check_names(self, images: Images) -> None:
        """Raise InputError where entries name no image at all."""
        entries = self.entries
        if entries is None or not images or any(key in entries for ref in images for key in _keys(ref)):
            return
        first = f"the first is {next(iter(entries))!r}" if entries else "there is none"
        raise InputError(
            f"no entry of {self.source} names any of the images: {first}, the first image is {images[0].name}; name "
            "files ('x.fits'), HDUs ('x.fits[1]') or paths"
        )

    def number(self, hdus: fits.HDUList, ref: ImageRef) -> float:
        """An image's own; InputError where it has none, or one outside of the limits."""
        kind = _KINDS[self.option]
        place, value = self._entry(hdus, ref)
        number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
        if self.inverse and number:
            number = 1.0 / number
        if not kind.low < number < kind.high:
            raise InputError(f"has no {kind.what}: its {place} is {value!r}, not {kind.meaning}")
        return number

    def word(self, hdus: fits.HDUList, ref: ImageRef) -> str:
        """An image's own, as text: 30 and 30.0 are one; InputError where it has none, or none that a card holds."""
        kind = _KINDS[self.option]
        place, value = self._entry(hdus, ref)
        word = value.strip() if isinstance(value, str) else ""
        if isinstance(value, bool):
            word = str(value)
        elif isinstance(value, Real) and math.isfinite(float(value)):
            exact = int(value) if isinstance(value, Integral) else float(value)  # all digits: visits are numbered so
            word = str(int(exact)) if exact == int(exact) else repr(exact)
        if not word:
            raise InputError(f"has no {kind.what}: its {place} is {value!r}, not {kind.meaning}")
        if not (word.isascii() and word.isprintable() and len(word) <= _LONGEST):
            raise InputError(
                f"has no {kind.what}: its {place} is {value!r}, not printable ASCII of at most {_LONGEST} characters"
            )
        return word

    def _entry(self, hdus: fits.HDUList, ref: ImageRef) -> tuple[str, Any]:
        """Where an image's own was found, for people, and what it is; InputError where there is nothing."""
        if self.entries is None:
            place = f"header keyword {self.source}"
            value = hdus[ref.hdu].header.get(self.source, hdus[0].header.get(self.source))
        else:
            place, entries = f"entry of {self.source}", self.entries
            value = next((entries[key] for key in _keys(ref) if key in entries), None)
        if value is None:
            raise InputError(f"has no {_KINDS[self.option].what}: no {place}")
        return place, value


def _keys(ref: ImageRef) -> tuple[str, str, str]:
    """What entries may call an image."""
    return ref.name, Path(ref.path).name, ref.path


def _from_table(option: str, source: str) -> dict[str, Any]:
    """A column by file names; None for what is masked."""
    path, _, column = source.rpartition(":")
    table = read_table(path, option, "give a header keyword, or FILE:COLUMN")
    columns = {name.lower(): name for name in reversed(table.colnames)}
    names = next((columns[name] for name in _NAMES if name in columns), None)
    for wanted in (names, column):
        if wanted not in table.colnames:
            missing = f"column {column}" if names else f"column of file names ({', '.join(_NAMES)})"
            raise InputError(f"{option}: {path} has no {missing}; it has {', '.join(table.colnames)}")
    entries: dict[str, Any] = {}
    for name, value in zip(table[names].tolist(), table[column].tolist(), strict=True):
        key = str(name).strip()
        first = entries.setdefault(key, value)
        if first is not value and first != value:
            raise InputError(
                f"{option}: {path} has two rows for {key}, with {first!r} and {value!r}; leave one, or name "
                f"HDUs ('{key}[1]')"
            )
    return entries
