"""The structure of a file: where its HDUs lie by their own mandatory cards, before any library acts on them.

What these cards claim decides how much is read, skipped and allocated later, so they are checked here, in the bytes of
the headers alone: types, ranges, and that all that is claimed lies in the file. A damaged one of them makes astropy
drop an HDU in silence, loop, or hold a file of zeros in memory in search of an END.
"""

from __future__ import annotations

import gzip
import math
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from dmontage.errors import InputError
from dmontage.fits_files.common import BITPIX, BLOCK

if TYPE_CHECKING:
    from dmontage.places import Place

__all__ = ["hdu_starts"]

_MAX_HEADER = 2**24
"""Bytes of a header: 200,000 cards."""
_MAX_REST = 2**20
"""Bytes behind the last HDU that are passed over."""
_GZIP_RATIO = 1032
"""What deflate can make of a byte."""
_TILE_RATIO = 20_000
"""What tile compression makes of a byte at the very most (HCOMPRESS and PLIO of blank images)."""

_MAX_AXES = 64
"""As many as an array of numpy has."""
_MAX_FIELDS = 999

_KEYS = frozenset(
    b"SIMPLE XTENSION BITPIX NAXIS GROUPS PCOUNT GCOUNT BSCALE BZERO BLANK TFIELDS ZIMAGE ZBITPIX ZNAXIS".split()
)  # fmt: skip
_AXIS = re.compile(rb"Z?NAXIS\d+|ZTILE\d+")
_WHOLE = re.compile(rb"[+-]?\d{1,30}")
_TEXT = bytes([0, 9, 10, 13, *range(32, 127)])


def hdu_starts(path: Place, size: int) -> list[int]:
    """The first byte of the data of each HDU of a file of ``size`` bytes, plain or gzipped; decompressed bytes count.

    Raises
    ------
    InputError
        If it is no FITS file, claims more data than it has, or one of these cards does not hold.
    """
    with path.open("rb") as file:
        magic = file.read(6)
        if magic.startswith((b"BZh", b"PK\x03\x04", b"\xfd7zXZ")):
            raise InputError("not a readable FITS file: of compressed files only gzip is read; decompress it")
        if not magic.startswith(b"\x1f\x8b"):
            return _walk(file, size, size)
        if size < 18:
            raise InputError(f"not a readable FITS file: truncated to the first {size} bytes of a gzip file")
        file.seek(-4, os.SEEK_END)
        told = int.from_bytes(file.read(4), "little")
        limit = _GZIP_RATIO * size
        file.seek(0)
        packed = gzip.GzipFile(fileobj=file)
        stream: BinaryIO = packed  # type: ignore[assignment]
        # Its last bytes tell the length, modulo 2³², of its last member, mostly the only one; where they cannot be
        # true, or too little is there by them, all claims are looked for.
        if told % BLOCK == 0 and size // 2 <= told <= limit:
            with suppress(InputError):
                return _walk(stream, told, limit)
        return _walk(stream, None, limit)


def _walk(stream: BinaryIO, n_bytes: int | None, limit: int) -> list[int]:
    """HDU by HDU; ``n_bytes`` of the stream, None where only reading on tells, and ``limit`` where that is vain."""
    starts: list[int] = []
    at = 0
    while n_bytes is None or at < n_bytes or not starts:
        stream.seek(at)
        first = stream.read(80)
        if starts and not first.startswith(b"XTENSION="):
            _check_rest(first + stream.read(_MAX_REST), len(starts))
            break
        cards, at = _header(stream, first, len(starts), at)
        try:
            claimed = _data_bytes(cards)
        except InputError as error:
            raise InputError(f"HDU {len(starts)}: {error}") from error
        if claimed > (there := _bytes_from(stream, at, n_bytes, claimed, limit)):
            what = f"its header claims {claimed} bytes of pixels, the file has {there}"
            raise InputError(f"truncated: {what} (HDU {len(starts)})")
        starts.append(at)
        at += claimed + -claimed % BLOCK
    return starts


def _bytes_from(stream: BinaryIO, at: int, n_bytes: int | None, wanted: int, limit: int) -> int:
    """Bytes from a place on; where only reading tells, of those that are wanted."""
    if n_bytes is not None:
        return n_bytes - at
    return stream.seek(min(at + wanted, limit)) - at


def _check_rest(rest: bytes, index: int) -> None:
    """Refuse what stands behind the last HDU and is more than padding."""
    if len(rest) > _MAX_REST:
        raise InputError(f"more than {_MAX_REST} bytes stand behind HDU {index - 1}, the last by its own cards")
    if rest.strip(b" \0"):
        raise InputError(f"HDU {index} is none: what stands there begins with {rest[:30]!r}, not with XTENSION")


def _header(stream: BinaryIO, first: bytes, index: int, at: int) -> tuple[dict[bytes, bytes], int]:
    """The text of the values of the cards that count, and where the data begin."""
    if not index and not first.startswith(b"SIMPLE  ="):
        what = f"begins with {first[:30]!r}, not with SIMPLE" if first else "is empty"
        raise InputError(f"not a readable FITS file: it {what}")
    cards: dict[bytes, bytes] = {}
    block = first + stream.read(BLOCK - len(first))
    length = 0
    while True:
        if len(block) < BLOCK or length >= _MAX_HEADER:
            where = "before the file ends: truncated" if len(block) < BLOCK else f"in its first {_MAX_HEADER} bytes"
            raise InputError(f"not a readable FITS file: the header of HDU {index} has no END card {where}")
        length += BLOCK
        for i in range(0, BLOCK, 80):
            key = block[i : i + 8].rstrip(b" \0")
            if key == b"END":
                if block[i + 80 :].translate(None, _TEXT):
                    raise InputError(
                        f"not a readable FITS file: the header of HDU {index} is not padded: behind its END stand "
                        "bytes that are no text"
                    )
                return cards, at + length
            if (key in _KEYS or _AXIS.fullmatch(key)) and block[i + 8 : i + 9] == b"=":
                value = _value(block[i + 9 : i + 80])
                if cards.setdefault(key, value) != value:
                    both = " and ".join(text.decode("latin-1") for text in (cards[key], value))
                    raise InputError(f"{key.decode()} stands twice in the header of HDU {index}, as {both}")
        block = stream.read(BLOCK)


def _value(text: bytes) -> bytes:
    """A value without its comment."""
    text = text.strip()
    return text[: text.find(b"'", 1) + 1] if text.startswith(b"'") else text.partition(b"/")[0].rstrip()


def _data_bytes(cards: dict[bytes, bytes]) -> int:
    """Bytes of data that an HDU claims, without padding."""
    if cards.get(b"SIMPLE", b"T") != b"T":
        raise InputError(f"SIMPLE = {_shown(cards, b'SIMPLE')}: only T says that this is standard FITS")
    if not cards.get(b"XTENSION", b"'").startswith(b"'"):
        raise InputError(f"XTENSION = {_shown(cards, b'XTENSION')} must be text")
    bits = _whole(cards, b"BITPIX")
    if bits not in BITPIX:
        raise InputError(f"BITPIX = {bits} must be one of {', '.join(map(str, BITPIX))}")
    sides = [_whole(cards, b"NAXIS%d" % i, 0) for i in range(1, _whole(cards, b"NAXIS", 0, _MAX_AXES) + 1)]
    if cards.get(b"GROUPS") == b"T" and sides[:1] == [0]:  # random groups
        del sides[0]
    extra, groups = (_whole(cards, key, low, default=low) for key, low in ((b"PCOUNT", 0), (b"GCOUNT", 1)))
    n_bytes = abs(bits) // 8 * groups * (extra + math.prod(sides)) if sides else 0
    _whole(cards, b"TFIELDS", 0, _MAX_FIELDS, default=0)
    if cards.get(b"ZIMAGE") == b"T":
        _check_tiles(cards, n_bytes)
        _check_scaling(cards, whole=_whole(cards, b"ZBITPIX") > 0)
    elif len(sides) > 1 and cards.get(b"XTENSION", b"'IMAGE").startswith(b"'IMAGE"):
        _check_scaling(cards, whole=bits > 0)
    return n_bytes


def _check_tiles(cards: dict[bytes, bytes], n_bytes: int) -> None:
    """Refuse a compressed image whose sides are not those of its tiles, or which no compression makes of its bytes."""
    bits = _whole(cards, b"ZBITPIX")
    if bits not in BITPIX:
        raise InputError(f"ZBITPIX = {bits} must be one of {', '.join(map(str, BITPIX))}")
    sides = [_whole(cards, b"ZNAXIS%d" % i, 1) for i in range(1, _whole(cards, b"ZNAXIS", 1, _MAX_AXES) + 1)]
    steps = [_whole(cards, b"ZTILE%d" % i, 1, default=1 if i > 1 else side) for i, side in enumerate(sides, 1)]
    tiles = math.prod(-(-side // step) for side, step in zip(sides, steps, strict=True))
    rows = _whole(cards, b"NAXIS2", 0)
    if tiles != rows:
        raise InputError(f"ZNAXISn = {sides} and ZTILEn = {steps} make {tiles} tiles, its table has NAXIS2 = {rows}")
    claimed = abs(bits) // 8 * math.prod(sides)
    if claimed > _TILE_RATIO * (n_bytes + BLOCK):
        raise InputError(f"ZNAXISn = {sides} claim {claimed} bytes of pixels, more than can be in {n_bytes} compressed")


def _check_scaling(cards: dict[bytes, bytes], *, whole: bool) -> None:
    """Refuse values that would make nonsense of all pixels."""
    for key in (b"BSCALE", b"BZERO"):
        try:
            value = float(cards.get(key, b"1").upper().replace(b"D", b"E"))
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (value == 0.0 and key == b"BSCALE"):
            raise InputError(
                f"{key.decode()} = {_shown(cards, key)} must be a finite number{', not 0' * (key == b'BSCALE')}"
            )
    if whole and b"BLANK" in cards:
        _whole(cards, b"BLANK")


def _whole(
    cards: dict[bytes, bytes], key: bytes, low: int | None = None, high: int | None = None, default: int | None = None
) -> int:
    """A whole number within limits."""
    text = cards.get(key)
    if text is None:
        if default is None:
            raise InputError(f"{key.decode()} is missing")
        return default
    value = int(text) if _WHOLE.fullmatch(text) else None
    if value is None or (low is not None and value < low) or (high is not None and value > high):
        limits = "" if low is None else f" from {low}" + ("" if high is None else f" to {high}")
        raise InputError(f"{key.decode()} = {_shown(cards, key)} must be a whole number{limits}")
    return value


def _shown(cards: dict[bytes, bytes], key: bytes) -> str:
    return cards[key].decode("latin-1") or "nothing"
