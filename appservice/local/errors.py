"""Errors of the local stack."""

from __future__ import annotations

from appservice.errors import RialtoError


class LocalError(RialtoError):
    """The local stack cannot do what was asked; ``human`` says what to do about it."""

    code = "local_stack"


class StartFailed(LocalError):
    """A process ended, or did not answer in time, while it was being started."""

    code = "start_failed"
