"""The client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self

import aiohttp

from bridge.client.areas import (
    Audit,
    Chats,
    Links,
    Members,
    Messages,
    People,
    ProductArea,
    Reports,
    Retention,
    Webhooks,
)
from bridge.client.transport import Transport, pause


class RialtoClient:
    """Speaks to one Rialto with one key. ``async with`` opens and closes it.

    Each write has an idempotency key and is tried again with the same one when the connection breaks, after 429 and
    503, and while its twin is being worked on. Whatever is refused raises :class:`bridge.client.ApiError`.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        timeout: float = 30,
        attempts: int = 4,
        session: aiohttp.ClientSession | None = None,
        sleep: Callable[[float], Awaitable[None]] = pause,
    ) -> None:
        """
        Args:
            url: where Rialto's listener is reached (``web.public_url``), without ``/api/v1``.
            key: the product's; without one only :meth:`People.exchange` works.
            timeout: seconds of one attempt.
            attempts: of a request, the first one included.
            session: to be used instead of one of its own; it is not closed.
            sleep: waits between attempts.
        """
        self._transport = Transport(url, key, timeout=timeout, attempts=attempts, session=session, sleep=sleep)
        self.product = ProductArea(self._transport)
        self.people = People(self._transport)
        self.chats = Chats(self._transport)
        self.members = Members(self._transport)
        self.links = Links(self._transport)
        self.retention = Retention(self._transport)
        self.messages = Messages(self._transport)
        self.reports = Reports(self._transport)
        self.audit = Audit(self._transport)
        self.webhooks = Webhooks(self._transport)

    async def __aenter__(self) -> Self:
        await self._transport.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.stop()
