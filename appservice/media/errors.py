"""What can be wrong with media. Each has its own ``code``; all are :class:`MediaError`."""

from __future__ import annotations

from appservice.errors import RialtoError


class MediaError(RialtoError):
    """A message refers to no media that can be fetched, or bytes are not what they should be."""

    code = "media_unusable"


class MediaTooLarge(MediaError):
    """More bytes than are allowed here, or than the homeserver takes. ``fields["limit"]`` is in bytes, if known."""

    code = "media_too_large"


class MediaMissing(MediaError):
    """The homeserver does not have the media (any more), or does not show it."""

    code = "media_missing"


class MediaChanged(MediaError):
    """Encrypted media are not the bytes that the sender's hash promises, or cannot be decrypted."""

    code = "media_changed"
