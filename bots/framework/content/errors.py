"""What can be wrong with content that a plugin builds."""

from __future__ import annotations

from appservice.errors import RialtoError


class ContentError(RialtoError):
    """A message cannot be built of this."""

    code = "content_invalid"


class ContentTooLong(ContentError):
    """More text than one event can hold. ``fields`` tell its length and the limit, in characters."""

    code = "content_too_long"
