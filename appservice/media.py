"""Media of the homeserver: fetched and stored as a bot, decrypted and encrypted on the way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appservice.e2ee import attachments
from appservice.errors import RialtoError
from appservice.homeserver import Homeserver, path

MAX_BYTES = 50 * 1024 * 1024
ANY = "application/octet-stream"
# Server names begin with a letter, a digit or a bracket: ".." would be another path on the homeserver.
_MXC = re.compile(r"mxc://([A-Za-z0-9\[][A-Za-z0-9.\-:\[\]]*)/([A-Za-z0-9_\-]+)")
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")  # RFC 6838, 4.2


class MediaError(RialtoError):
    """A message refers to no media that can be fetched."""

    code = "media_unusable"


@dataclass(frozen=True, slots=True)
class Upload:
    """Stored media, as the ``url`` or ``file`` of a message's content."""

    content: Mapping[str, Any]


class Media:
    """Fetches and stores media."""

    def __init__(self, homeserver: Homeserver, max_bytes: int = MAX_BYTES) -> None:
        self._homeserver = homeserver
        self._max_bytes = max_bytes

    async def download(self, user_id: str, content: Mapping[str, Any]) -> bytes:
        """The bytes of an ``m.image``, ``m.file``, … in plaintext.

        Raises:
            MediaError: no media, or not the media that the message promised.
            HomeserverError: the homeserver does not give it.
        """
        file = content.get("file")
        url = file.get("url") if isinstance(file, dict) else content.get("url")
        match = _MXC.fullmatch(url) if isinstance(url, str) else None
        if match is None:
            raise MediaError("the message holds no mxc:// address")
        data = await self._homeserver.download(
            path("/_matrix/client/v1/media/download", match[1], match[2]), user_id=user_id, limit=self._max_bytes
        )
        return attachments.decrypt(file, data) if isinstance(file, dict) else data

    async def upload(self, user_id: str, data: bytes, mimetype: str, *, encrypted: bool) -> Upload:
        """Store bytes; in an encrypted room only their ciphertext leaves this process.

        Args:
            mimetype: as somebody said; what is none is not handed on.
        """
        file: dict[str, Any] | None = None
        if encrypted:
            data, file = attachments.encrypt(data)
            mimetype = ANY
        media_type = mimetype if _TYPE.fullmatch(mimetype) else ANY
        answer = await self._homeserver.request(
            "POST", "/_matrix/media/v3/upload", user_id=user_id, data=data, content_type=media_type
        )
        url = answer.get("content_uri")
        if not isinstance(url, str):
            raise MediaError("the homeserver stored the media without an address")
        return Upload({"file": {**file, "url": url}} if file is not None else {"url": url})
