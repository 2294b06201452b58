"""What can be wrong with a dialog, and how its function is left."""

from __future__ import annotations

from appservice.errors import RialtoError


class DialogError(RialtoError):
    """A dialog cannot go on."""

    code = "dialog"


class DeterminismError(DialogError):
    """A dialog's function did something else on a replay than before: it depends on something that is not recorded."""

    code = "dialog_not_deterministic"


class DialogTooLong(DialogError):
    """A dialog's journal is larger than it may be."""

    code = "dialog_too_long"


class Changed(Exception):
    """The journal does not fit the function any more: it was changed since the dialog began."""


class Suspended(BaseException):
    """Leaves the function: its question is out. No ``except Exception`` of a plugin's catches it."""


class Interrupted(BaseException):
    """Leaves the function because of an error that is not its own, which the engine must see."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


class Ended(BaseException):
    """Leaves the function at its own wish."""
