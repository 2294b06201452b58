"""Pictures of products for pages: small ones of the homeserver's media, kept for a while."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from types import MappingProxyType
from typing import Final

from appservice.errors import RialtoError
from appservice.homeserver import Homeserver, path
from bots.commerce.desk.photos import redrawn
from bots.commerce.engines.base import CatalogueEngine
from bots.commerce.hand import Reader
from bots.domain.catalogue import Product

__all__ = ["Elsewhere", "PictureMissing", "Pictures"]

SIDE: Final = 640
BYTES_MAX: Final = 2 * 1024 * 1024
KINDS: Final = MappingProxyType(
    {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif", b"RIFF": "image/webp"}
)
"""What the first bytes of a file say that it is; nothing else is handed to a browser."""
KEPT_BYTES: Final = 16 * 1024 * 1024
KEPT: Final = 100
"""Pictures of other catalogues: of some ten kilobytes each."""
_ADDRESS: Final = re.compile(r"mxc://([A-Za-z0-9.:\[\]-]{1,255})/([A-Za-z0-9_-]{1,255})")


class PictureMissing(RialtoError):
    """There is no such picture, or it is none."""

    code = "picture_missing"


class Pictures:
    """Asks the homeserver for thumbnails as one of our bots (Client-Server API, "Content repository")."""

    def __init__(self, homeserver: Homeserver, user_id: str) -> None:
        self._homeserver = homeserver
        self._user_id = user_id
        self._kept: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        self._bytes = 0

    async def __call__(self, url: str) -> tuple[bytes, str]:
        """The picture and its media type, which is looked up in its bytes.

        Raises:
            RialtoError: the homeserver has none, or cannot be asked.
        """
        known = self._kept.get(url)
        if known is not None:
            self._kept.move_to_end(url)
            return known
        address = _ADDRESS.fullmatch(url)
        if address is None:
            raise PictureMissing("not an address of a file")
        where = path("/_matrix/client/v1/media/thumbnail", *address.groups())
        query = {"width": str(SIDE), "height": str(SIDE), "method": "scale"}
        data = await self._homeserver.download(where, user_id=self._user_id, limit=BYTES_MAX, query=query)
        kind = next((kind for begin, kind in KINDS.items() if data.startswith(begin)), None)
        if kind is None:
            raise PictureMissing("not a picture")
        self._keep(url, (data, kind))
        return data, kind

    def _keep(self, url: str, picture: tuple[bytes, str]) -> None:
        self._kept[url] = picture
        self._bytes += len(picture[0])
        while self._bytes > KEPT_BYTES:
            _, (gone, _) = self._kept.popitem(last=False)
            self._bytes -= len(gone)


class Elsewhere:
    """Pictures of a catalogue that is kept elsewhere: fetched from there, drawn anew, and kept for a while."""

    def __init__(self, engine: CatalogueEngine) -> None:
        self._engine = engine
        self._kept: OrderedDict[str, tuple[bytes, str]] = OrderedDict()

    async def __call__(self, reader: Reader, merchant_id: str, product: Product) -> tuple[bytes, str]:
        """The picture and its media type. Raises RialtoError: it cannot be had."""
        known = self._kept.get(product.picture)
        if known is not None:
            self._kept.move_to_end(product.picture)
            return known
        data = await self._engine.picture(reader, merchant_id, product.key)
        if data is None:
            raise PictureMissing("not to be had")
        drawn = await asyncio.to_thread(redrawn, data, SIDE)
        self._kept[product.picture] = drawn
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return drawn
