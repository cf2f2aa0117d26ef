"""Places: paths of this machine, and URLs of objects in a store such as S3 (level -1).

Whatever a user names is made a place first: `place` gives a `Path`, or a `Url` that can be asked the same. What is
written to a URL is made in a temporary folder and sent when it is whole: `made_at`. Credentials come from the
environment of the process that needs them (``AWS_ACCESS_KEY_ID``, ...; ``GOOGLE_APPLICATION_CREDENTIALS``) or from the
machine's own role, never from a URL; nothing here keeps or tells them.
"""

from dmontage.places.buckets import MissingError
from dmontage.places.copies import brought, made_at
from dmontage.places.ranges import AT_ONCE, Ranges, with_heads
from dmontage.places.text import is_url, place
from dmontage.places.url import Place, Stat, Url

__all__ = [
    "AT_ONCE", "MissingError", "Place", "Ranges", "Stat", "Url", "brought", "is_url", "made_at", "place", "with_heads",
]  # fmt: skip
