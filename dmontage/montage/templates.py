"""Header templates as text: one card a line, END last."""

from __future__ import annotations

from pathlib import Path

from astropy.io.fits import Card, Header

from dmontage.aside import aside
from dmontage.errors import InputError
from dmontage.headers import header_text

__all__ = ["check_template", "template_header", "template_text", "write_template"]


def check_template(path: str) -> None:
    """InputError, in Montage's words, where there is no such file."""
    if not Path(path).is_file():
        raise InputError(f"Template file not found. File {path} not found.")


def template_text(path: str) -> str:
    """The lines of a template, or of a FITS file's primary header.

    Raises
    ------
    InputError
        In Montage's words: "Template file not found.", where there is none.
    """
    check_template(path)
    return header_text(path)


def template_header(path: str) -> Header:
    """All cards of a template, as its lines have them: digits, comments, COMMENT and HISTORY."""
    cards = []
    for line in template_text(path).splitlines():
        if line.rstrip() == "END":
            break
        key, equals, value = line.partition("=")
        if equals and len(key.strip()) <= 8 and key.strip():
            card = Card.fromstring(f"{key.strip().upper():<8}= {value.strip()}"[:80])
        elif line.startswith(("COMMENT", "HISTORY", "CONTINUE")):
            card = Card.fromstring(line[:80])
        elif not line.strip():
            continue
        else:
            raise InputError(f"Bad template: {path}: {line.strip()!r} is no card, such as 'CRVAL1 = 83.8'")
        try:
            _ = card.value
        except Exception as error:  # astropy's of cards, of values, of keywords
            raise InputError(f"Bad template: {path}: cannot read the card {line.strip()!r}: {error}") from error
        cards.append(card)
    if not cards:
        raise InputError(f"Bad template: {path}: it holds no FITS cards")
    return Header(cards)


def write_template(path: str, text: str) -> int:
    """Write a template's text, beside its name first, and renamed when whole; the number of its lines."""
    with aside(Path(path)) as part:
        part.write_text(text, encoding="utf-8")
    return len(text.splitlines())
