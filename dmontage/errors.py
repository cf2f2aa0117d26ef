"""The errors that a user can cause: one class, so that one ``except`` is enough (level 0)."""


class InputError(ValueError):
    """What was given cannot be used; the message names the value, the limit and the way out."""
