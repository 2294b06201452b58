"""Who has the mini app open: by a link that works once, or as a widget whose client vouches for the person.

Neither a query parameter nor a room id that a browser names proves anything. A link was given to one person in their
own chat; a widget brings an OpenID token (Client-Server API, "OpenID"), which is exchanged at the configured homeserver
and nowhere else. Both give a session: a random cookie, of which the database knows the SHA-256 only.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from appservice.database import Database
from appservice.homeserver import HomeserverError
from appservice.sealing import derived_key
from bots.framework.clock import Clock
from bots.store import app_sessions as sql
from bots.store.app_sessions import SessionRow

__all__ = ["Access", "Session", "TokenRefused"]

LASTS: Final = timedelta(hours=12)
_COOKIE: Final = re.compile("[A-Za-z0-9_-]{43}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,255}")
_USER: Final = re.compile(r"@[^:\s]{0,200}:[^\s/?#@]{1,230}")


WhoseToken = Callable[[str], Awaitable[str | None]]
"""The user id of who an OpenID token stands for, None when it is not good: :meth:`bridge.identity.openid.OpenId.owner`.
Raises HomeserverError."""


class TokenRefused(Exception):
    """An OpenID token that the homeserver does not know, or that is not one. ``code`` is for logs."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody has the page open. ``csrf`` stands in every form of it."""

    bot: str
    person: str
    room_id: str
    framed: bool
    csrf: str


class Access:
    """Begins sessions and finds them again."""

    def __init__(
        self,
        database: Database,
        whose: WhoseToken,
        clock: Clock,
        *,
        server_name: str,
        pickle_key: str,
        public_url: str,
    ) -> None:
        """
        Args:
            server_name: of the homeserver whose people may come.
            public_url: of the listener, as browsers know it.
        """
        self._database = database
        self._whose = whose
        self._clock = clock
        self._server_name = server_name
        self._key = derived_key(pickle_key, "mini app")
        self._secure = public_url.startswith("https://")
        # The prefix makes browsers refuse one that an unencrypted page, or another server of the domain, has set.
        self._cookie: Final = "__Secure-rialto-app" if self._secure else "rialto-app"

    async def vouched(self, token: str, server: str) -> str:
        """The person whom an OpenID token stands for.

        Raises:
            TokenRefused: no token, one of another server, or one that the homeserver does not know.
        """
        if server != self._server_name or not _TOKEN.fullmatch(token):
            raise TokenRefused("not_ours")
        try:
            person = await self._whose(token)
        except HomeserverError as error:
            raise TokenRefused("homeserver_away") from error
        if person is None or not _USER.fullmatch(person) or person.split(":", 1)[1] != server:
            raise TokenRefused("unknown")
        return person

    def begin(self, connection: Connection, cookie: str, *, bot: str, person: str, room_id: str, framed: bool) -> None:
        """Begin the session of a cookie, in the commit of what it comes from."""
        now = self._clock.now_ms()
        sql.purge(connection, now)
        lasts = round(LASTS.total_seconds() * 1000)
        sql.add(connection, SessionRow(_digest(cookie), bot, person, room_id, int(framed), now, now + lasts))

    @staticmethod
    def new_cookie() -> str:
        """What a browser will be known by."""
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()

    def remember(self, response: web.Response, cookie: str, path: str, *, framed: bool) -> None:
        """Give the browser its cookie. In a frame of another site only a partitioned one comes back (CHIPS)."""
        apart = framed and self._secure
        response.set_cookie(
            self._cookie,
            cookie,
            path=path,
            max_age=round(LASTS.total_seconds()),
            secure=self._secure,
            httponly=True,
            samesite="None" if apart else "Lax",
            partitioned=apart or None,
        )

    async def session(self, request: web.Request, bot: str) -> Session | None:
        """The session of a request; None: there is none, or it is over, or it is another bot's."""
        cookie = request.cookies.get(self._cookie, "")
        if not _COOKIE.fullmatch(cookie):
            return None
        digest, now = _digest(cookie), self._clock.now_ms()
        row = await self._database.read(lambda connection: sql.find(connection, digest, now))
        if row is None or row.bot != bot:
            return None
        csrf = hmac.digest(self._key, f"form\0{digest}".encode(), "sha256").hex()
        return Session(row.bot, row.person, row.room_id, bool(row.framed), csrf)


def _digest(cookie: str) -> str:
    return sha256(cookie.encode()).hexdigest()
