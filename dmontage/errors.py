"""The errors that a user can cause: one class, so that one ``except`` is enough (level 0)."""


class InputError(ValueError):
    """What was given cannot be used; the message names the value, the limit and the way out."""


class ChangedError(InputError):
    """An input is not what it was when the run was planned: no more than that run can be told from it."""


class UnreachableError(InputError):
    """A place cannot be reached: no fault of what lies there, which must not be left out for it."""


class OffGridError(InputError):
    """No image reaches the grid."""
