"""The homeserver's media repository, used as a bot. Nothing but ``mxc://`` is ever fetched."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appservice.e2ee import attachments
from appservice.e2ee.errors import AttachmentError
from appservice.homeserver import Homeserver, HomeserverError, path
from appservice.media.audio import AudioInfo, describe_audio
from appservice.media.errors import MediaChanged, MediaError, MediaMissing, MediaTooLarge
from appservice.media.images import MAX_PIXELS, ImageInfo, describe_image
from appservice.media.memory import Memory

MAX_BYTES = 50 * 1024 * 1024
MEMORY = 256 * 1024 * 1024
ANY = "application/octet-stream"
# Bytes are there twice for a moment: in pieces and joined, or as plaintext and as ciphertext.
COPIES = 2
# What a message says of its size may be a little wrong without our asking twice.
_SLACK = 4096
_LARGE = 256 * 1024  # from here on a thread encrypts, the event loop has other things to do
# Server names begin with a letter, a digit or a bracket: ".." would be another path on the homeserver.
_MXC = re.compile(r"mxc://([A-Za-z0-9\[][A-Za-z0-9.\-:\[\]]*)/([A-Za-z0-9_\-]+)")
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")  # RFC 6838, 4.2


@dataclass(frozen=True, slots=True)
class Upload:
    """Stored media, as the ``url`` or ``file`` of a message's content."""

    content: Mapping[str, Any]


class Media:
    """Fetches and stores media, bounded: a file, and all files that are on their way at the same time.

    Storing can be repeated: what is stored by an attempt that then fails is never referred to by anything.
    """

    def __init__(self, homeserver: Homeserver, max_bytes: int = MAX_BYTES, memory: int = MEMORY) -> None:
        """
        Args:
            max_bytes: of one file.
            memory: bytes of all files that are fetched, stored or looked at at the same time; others wait.
        """
        self._homeserver = homeserver
        self._max_bytes = max_bytes
        self.memory = Memory(memory)
        # One picture is decoded at a time: its pixels may take far more than its bytes.
        self._looking = asyncio.Semaphore(1)

    async def download(self, user_id: str, content: Mapping[str, Any], *, limit: int | None = None) -> bytes:
        """The bytes of an ``m.image``, ``m.file``, … in plaintext.

        Args:
            limit: bytes at most, when that is less than the general limit.

        Raises:
            MediaMissing, MediaTooLarge, MediaChanged: as they say.
            MediaError: the message holds no address of media.
            HomeserverError: the homeserver does not give it now.
        """
        file = content.get("file")
        url = file.get("url") if isinstance(file, dict) else content.get("url")
        match = _MXC.fullmatch(url) if isinstance(url, str) else None
        if match is None:
            raise MediaError("the message holds no mxc:// address")
        most = self._max_bytes if limit is None else min(limit, self._max_bytes)
        address = path("/_matrix/client/v1/media/download", match[1], match[2])
        encrypted = file if isinstance(file, dict) else None
        said = _said_size(content)
        if said is not None and said + _SLACK < most:
            try:
                return await self._fetch(user_id, address, encrypted, said + _SLACK)
            except MediaTooLarge:
                pass  # the message understated it: once more, with the place that a file may take
        return await self._fetch(user_id, address, encrypted, most)

    async def upload(self, user_id: str, data: bytes, mimetype: str, *, encrypted: bool) -> Upload:
        """Store bytes; in an encrypted room only their ciphertext leaves this process.

        Args:
            mimetype: as somebody said; what is none is not handed on.

        Raises:
            MediaTooLarge: for us or for the homeserver.
            HomeserverError: the homeserver does not take it now.
        """
        self._check(data)
        async with self.memory.take(COPIES * len(data)):
            return await self._store(user_id, data, mimetype, encrypted)

    async def upload_image(self, user_id: str, data: bytes, *, encrypted: bool) -> dict[str, Any]:
        """Store a picture, its thumbnail first.

        Returns:
            ``url`` or ``file``, and ``info`` with size, type, thumbnail and BlurHash: what
            ``bots.framework.content.image`` makes a message of.

        Raises:
            MediaError: it is no picture; store it as a file.
        """
        info = await self.look_at_image(data)
        described = info.info()
        if info.thumbnail is not None:
            small = await self.upload(user_id, info.thumbnail.data, info.thumbnail.mimetype, encrypted=encrypted)
            described |= {f"thumbnail_{key}": value for key, value in small.content.items()}
        stored = await self.upload(user_id, data, info.mimetype, encrypted=encrypted)
        return {**stored.content, "info": described}

    async def upload_audio(self, user_id: str, data: bytes, *, encrypted: bool) -> dict[str, Any]:
        """Store a sound.

        Returns:
            ``url`` or ``file``, ``info``, and for a WAV the ``waveform``, which ``bots.framework.content.voice`` takes.

        Raises:
            MediaError: it is no sound; store it as a file.
        """
        self._check(data)
        async with self.memory.take(COPIES * len(data)):
            info: AudioInfo = await asyncio.to_thread(describe_audio, data)
        stored = await self.upload(user_id, data, info.mimetype, encrypted=encrypted)
        content = {**stored.content, "info": info.info()}
        return {**content, "waveform": list(info.waveform)} if info.waveform else content

    async def upload_file(self, user_id: str, data: bytes, mimetype: str = ANY, *, encrypted: bool) -> dict[str, Any]:
        """Store any file; ``url`` or ``file``, and ``info`` with size and type."""
        stored = await self.upload(user_id, data, mimetype, encrypted=encrypted)
        info = {"mimetype": mimetype if _TYPE.fullmatch(mimetype) else ANY, "size": len(data)}
        return {**stored.content, "info": info}

    async def look_at_image(self, data: bytes) -> ImageInfo:
        """:func:`describe_image` in a thread, when its turn comes.

        Raises:
            MediaError: it is no picture, or a file too large.
        """
        self._check(data)
        async with self._looking, self.memory.take(len(data) + 4 * MAX_PIXELS):
            return await asyncio.to_thread(describe_image, data)

    def _check(self, data: bytes) -> None:
        if len(data) > self._max_bytes:
            raise _too_large(self._max_bytes)

    async def _fetch(self, user_id: str, address: str, file: Mapping[str, Any] | None, limit: int) -> bytes:
        async with self.memory.take(COPIES * limit):
            try:
                data = await self._homeserver.download(address, user_id=user_id, limit=limit)
            except HomeserverError as error:
                raise _said_by(error, limit) from error
            if file is None:
                return data
            try:
                if len(data) < _LARGE:
                    return attachments.decrypt(file, data)
                return await asyncio.to_thread(attachments.decrypt, file, data)
            except AttachmentError as error:
                raise MediaChanged(error.human, **error.fields) from error

    async def _store(self, user_id: str, data: bytes, mimetype: str, encrypted: bool) -> Upload:
        file: dict[str, Any] | None = None
        if encrypted:
            small = len(data) < _LARGE
            data, file = attachments.encrypt(data) if small else await asyncio.to_thread(attachments.encrypt, data)
            mimetype = ANY
        media_type = mimetype if _TYPE.fullmatch(mimetype) else ANY
        try:
            answer = await self._homeserver.request(
                "POST", "/_matrix/media/v3/upload", user_id=user_id, data=data, content_type=media_type
            )
        except HomeserverError as error:
            raise _said_by(error, None) from error
        url = answer.get("content_uri") if isinstance(answer, dict) else None
        if not isinstance(url, str) or _MXC.fullmatch(url) is None:
            raise MediaError("the homeserver stored the media without an address")
        return Upload({"file": {**file, "url": url}} if file is not None else {"url": url})


def _said_size(content: Mapping[str, Any]) -> int | None:
    info = content.get("info")
    size = info.get("size") if isinstance(info, Mapping) else None
    return size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None


def _too_large(limit: int | None) -> MediaTooLarge:
    if limit is None:
        return MediaTooLarge("the file is larger than the homeserver takes")
    return MediaTooLarge(f"the file is larger than the {_megabytes(limit)} allowed here", limit=limit)


def _megabytes(count: int) -> str:
    return f"{count / 1024 / 1024:.4g} MB" if count >= 1024 * 1024 else f"{count / 1024:.3g} kB"


def _said_by(error: HomeserverError, limit: int | None) -> MediaError | HomeserverError:
    """What the homeserver's refusal means; what may pass stays as it is, and is tried again."""
    if error.status == 413:
        return _too_large(limit)
    if error.status in {404, 410} or error.errcode == "M_NOT_FOUND":
        return MediaMissing("the homeserver does not have this file (any more)", errcode=error.errcode)
    return error
