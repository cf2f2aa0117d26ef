"""Buckets: the only user of obstore. Each request is tried again where the network or the store may have stumbled.

obstore tries again itself when it cannot connect, and on answers of 429 and 5xx; not when an answer breaks off or does
not come in time. That is done here.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from dmontage.errors import InputError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dmontage.places.url import Url

__all__ = ["MissingError", "asked", "bucket", "forget", "refused"]

_T = TypeVar("_T")

TRIES = 4
"""Of one request, each with obstore's own below."""

OPTIONS: dict[str, Any] = {"timeout": "60s", "connect_timeout": "5s", "pool_idle_timeout": "20s"}
"""Of the HTTP client; the timeout is that of a whole request."""

RETRIES: dict[str, Any] = {
    "max_retries": 6,
    # Longer than a request's: of a large object the rest is fetched from where it broke off, again and again.
    "retry_timeout": timedelta(minutes=10),
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2.0},
}

QUICK: dict[str, Any] = {"timeout": "2s", "connect_timeout": "2s"}
"""Options of requests that are of use at once, or not at all; they are not tried again."""

_METADATA = "169.254.169.254"
"""Where the machines of the clouds tell their own role."""
_NEEDED = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_SKIP_SIGNATURE=true for a public bucket)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS (or GOOGLE_SERVICE_ACCOUNT_KEY)",
}

_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "GOOGLE_BASE_URL")

_EXTRA = "object stores need the package obstore: pip install 'dmontage[cloud]'"

_making = threading.Lock()


class MissingError(InputError):
    """There is no such object."""


def bucket(scheme: str, name: str, *, quick: bool = False) -> Any:
    """The client of a bucket; it reads its credentials from the environment when it is made.

    Parameters
    ----------
    quick
        The one whose requests take two seconds at most.
    """
    with _making:  # a bucket in memory is in its client: threads that come together must get the same
        return _client(scheme, name, quick and scheme != "memory")


def forget() -> None:
    """Drop all clients, and what is in memory: the next ones read the environment anew."""
    _client.cache_clear()


@cache
def _client(scheme: str, name: str, quick: bool) -> Any:
    try:
        from obstore.store import GCSStore, MemoryStore, S3Store
    except ImportError as error:
        raise InputError(_EXTRA) from error
    if scheme == "memory":
        return MemoryStore()
    kind = {"s3": S3Store, "gs": GCSStore}[scheme]
    # Options given here take the place of the environment's own word for it, AWS_ALLOW_HTTP.
    plain = any(os.environ.get(key, "").startswith("http://") for key in _ENDPOINTS)
    options, retries = ({**OPTIONS, **QUICK}, {**RETRIES, "max_retries": 0}) if quick else (OPTIONS, RETRIES)
    try:
        return kind(name, client_options={**options, "allow_http": plain}, retry_config=retries)
    except Exception as error:  # obstore has an exception class for each of its errors
        raise InputError(f"{scheme}://{name} cannot be opened: {refused(error)}; set {_NEEDED[scheme]}") from None


def asked(url: Url, request: Callable[[], _T], *, once: bool = False) -> _T:
    """The answer to a request about a place; ``once`` does not try again.

    No error has the store's own for its cause: that may have the whole answer, with tokens in it.

    Raises
    ------
    MissingError
        If there is no such object.
    UnreachableError
        If it cannot be had; the message has no word of the request's headers.
    """
    from obstore import exceptions

    tries = 1 if once else TRIES
    for k in range(tries):
        try:
            return request()
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            raise
        except (exceptions.BaseError, OSError) as error:
            lasting, why = _lasting(url, error), refused(error)
        if lasting is not None:  # raised out here, where the store's own error is no part of it
            raise lasting
        if k + 1 < tries:
            time.sleep(0.2 * 2**k * random.uniform(0.5, 1.5))  # not all tasks at once
    raise UnreachableError(
        f"{url}: cannot be reached, tried {tries} times: {why}; see whether the store answers (AWS_ENDPOINT_URL), and "
        "run the same command again"
    )


def _lasting(url: Url, error: Exception) -> InputError | None:
    """What is wrong, where asking again is of no use."""
    from obstore import exceptions

    if isinstance(error, FileNotFoundError):
        return MissingError(f"{url}: there is no such object, or no such bucket")
    if "NoSuchBucket" in str(error):  # of a listing
        return MissingError(f"{url}: there is no such bucket")
    if isinstance(error, exceptions.InvalidPathError):
        return InputError(f"{url}: here are keys with an empty part, '.' or '..'; rename them")
    if isinstance(
        error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, exceptions.NotSupportedError)
    ):
        return UnreachableError(f"{url}: {refused(error)}; check the credentials of this process, and its rights")
    if _METADATA in str(error):  # where credentials are asked for that the environment does not have
        return UnreachableError(f"{url}: this process has no credentials; set {_NEEDED[url.scheme]}")
    return None


def refused(error: BaseException) -> str:
    """What a store's error says, in one line, without the answer's body: that may tell key ids, and much besides."""
    text = re.split(r"\n|: <|<", str(error).strip(), maxsplit=1)[0]
    text = re.sub(r", after \d+ retries, max_retries: \d+, retry_timeout: \w+ *", " ", text)
    return text.strip(" :-") or type(error).__name__
