"""Buckets: the only user of obstore. Each request is tried again where the network or the store may have stumbled.

obstore tries again itself when it cannot connect, and on answers of 429 and 5xx; not when an answer breaks off or does
not come in time. That is done here.
"""

from __future__ import annotations

import os
import random
import re
import time
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from dmontage.errors import InputError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dmontage.places.url import Url

__all__ = ["MissingError", "asked", "bucket", "refused"]

_T = TypeVar("_T")

TRIES = 4
"""Of one request, each with obstore's own below."""

OPTIONS: dict[str, Any] = {"timeout": "60s", "connect_timeout": "5s", "pool_idle_timeout": "20s"}
"""Of the HTTP client; the timeout is that of a whole request."""

RETRIES = {
    "max_retries": 6,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2.0},
}

_METADATA = "169.254.169.254"
"""Where the machines of the clouds tell their own role."""
_NEEDED = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_SKIP_SIGNATURE=true for a public bucket)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS (or GOOGLE_SERVICE_ACCOUNT_KEY)",
}

_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "GOOGLE_BASE_URL")

_EXTRA = "object stores need the package obstore: pip install 'dmontage[cloud]'"


class MissingError(InputError):
    """There is no such object."""


@cache  # all of them: one in memory has no other place
def bucket(scheme: str, name: str) -> Any:
    """The client of a bucket; it reads its credentials from the environment when it is made."""
    try:
        from obstore.store import GCSStore, MemoryStore, S3Store
    except ImportError as error:
        raise InputError(_EXTRA) from error
    if scheme == "memory":
        return MemoryStore()
    kind = {"s3": S3Store, "gs": GCSStore}[scheme]
    # Options given here take the place of the environment's own word for it, AWS_ALLOW_HTTP.
    plain = any(os.environ.get(key, "").startswith("http://") for key in _ENDPOINTS)
    try:
        return kind(name, client_options={**OPTIONS, "allow_http": plain}, retry_config=RETRIES)
    except Exception as error:  # obstore has an exception class for each of its errors
        raise InputError(f"{scheme}://{name} cannot be opened: {refused(error)}; set {_NEEDED[scheme]}") from error


def asked(url: Url, request: Callable[[], _T]) -> _T:
    """The answer to a request about a place.

    Raises
    ------
    MissingError
        If there is no such object.
    UnreachableError
        If it cannot be had; the message has no word of the request's headers.
    """
    from obstore import exceptions

    lasting = (
        exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, exceptions.InvalidPathError,
        exceptions.NotSupportedError,
    )  # fmt: skip
    for k in range(TRIES):
        try:
            return request()
        except FileNotFoundError as error:
            raise MissingError(f"{url}: there is no such object, or no such bucket") from error
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            raise
        except lasting as error:
            raise UnreachableError(
                f"{url}: {refused(error)}; check the credentials of this process, and its rights"
            ) from error
        except (exceptions.BaseError, OSError) as error:
            if "NoSuchBucket" in str(error):  # of a listing
                raise MissingError(f"{url}: there is no such bucket") from error
            if _METADATA in str(error):  # where credentials are asked for that the environment does not have
                raise UnreachableError(f"{url}: this process has no credentials; set {_NEEDED[url.scheme]}") from error
            if k + 1 == TRIES:
                raise UnreachableError(
                    f"{url}: cannot be reached, {TRIES} times: {refused(error)}; what is done is kept: the same "
                    "command again goes on from there"
                ) from error
            time.sleep(0.2 * 2**k * random.uniform(0.5, 1.5))  # not all tasks at once
    raise AssertionError("not reached")


def refused(error: BaseException) -> str:
    """What a store's error says, in one line, without the answer's body: that may tell key ids, and much besides."""
    text = re.split(r"\n|: <|<", str(error).strip(), maxsplit=1)[0]
    return text.strip(" :-") or type(error).__name__
