"""Texts that name places: what is a path of this machine, and what a URL."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from dmontage.errors import InputError
from dmontage.places.url import Url

__all__ = ["is_url", "place"]

_SCHEMES = ("s3", "gs", "memory")
"""Of object stores; ``file://`` is a path."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/(?:/([^/]*))?/?(.*)", re.DOTALL)


def is_url(path: str | os.PathLike[str] | Url) -> bool:
    """Whether a place is no path of this machine."""
    return isinstance(place(path), Url)


def place(path: str | os.PathLike[str] | Url) -> Path | Url:
    """The place that a text names.

    Raises
    ------
    InputError
        If it is a URL of another kind, or one that holds credentials.
    """
    if isinstance(path, Url):
        return path
    text = os.fspath(path)
    found = _URL.fullmatch(text)
    # pathlib makes "s3:/b" of "s3://b".
    if found is None or ("://" not in text and found[1].lower() not in (*_SCHEMES, "file")):
        return Path(path)
    scheme, host, key = found[1].lower(), found[2] or "", found[3] or ""
    if "://" not in text:
        host, _, key = ("", "", key) if scheme == "file" else key.partition("/")
    if scheme == "file":
        if host not in ("", "localhost"):
            raise InputError(f"{text}: a file on another machine; give file:///PATH of this one")
        return Path("/", unquote(key))  # as `Path.as_uri` writes it
    if scheme not in _SCHEMES:
        raise InputError(
            f"{scheme}:// is no place that can be read; give a path, or {', '.join(_SCHEMES)}:// or file://"
        )
    if "@" in host or ":" in host or not re.fullmatch(r"[\w.-]+", host):
        # Not told: it may be a password.
        raise InputError(
            f"{scheme}:// URL without a plain bucket name: give {scheme}://BUCKET/KEY, and credentials in the "
            "environment"
        )
    if "?" in key or "#" in key:
        raise InputError(f"{scheme}://{host}/...: a URL with a query; give {scheme}://BUCKET/KEY")
    url = Url(scheme, host, key.removesuffix("/"))
    if not url.is_plain:
        raise InputError(f"{url}: a key with an empty part, '.' or '..'; give {scheme}://BUCKET/KEY")
    return url
