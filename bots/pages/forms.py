"""Reading a form that was sent, and knowing that our own page sent it."""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from appservice.errors import RialtoError
from appservice.sealing import derived_key

MAX_BODY: Final = 16 * 1024
MAX_FIELDS: Final = 40
BODY_S: Final = 10.0
"""Seconds in which a form must have arrived."""
CSRF: Final = "csrf"
"""The hidden field."""
ACTION: Final = "action"
"""The button that was pressed."""
_VISITOR: Final = re.compile("[A-Za-z0-9_-]{43}")


class FormRefused(RialtoError):
    """A form that is not taken. ``status``: of the answer over HTTP."""

    code = "form_refused"

    def __init__(self, code: str, status: int) -> None:
        super().__init__(f"the form was not taken: {code}", status=status)
        self.code = code
        self.status = status


class Form:
    """What was filled in: texts by their names, without spaces around them."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields

    @property
    def action(self) -> str:
        """The button that was pressed; "" by Enter in a client that names none."""
        return self._fields.get(ACTION, "")

    def __getitem__(self, name: str) -> str:
        """What was filled in; "" for nothing, and for a field that was not sent."""
        return self._fields.get(name, "")

    def __repr__(self) -> str:
        return f"Form({sorted(self._fields)})"  # what was filled in may be a PIN


async def read_form(request: web.Request) -> Form:
    """The form of a request.

    Raises:
        FormRefused: too large, too slow, or no form.
    """
    if request.content_type != "application/x-www-form-urlencoded" or "Content-Encoding" in request.headers:
        raise FormRefused("wrong_type", 415)
    if request.content_length is not None and request.content_length > MAX_BODY:
        raise FormRefused("too_large", 413)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > MAX_BODY:
                    raise FormRefused("too_large", 413)
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except TimeoutError:
        raise FormRefused("too_slow", 408) from None
    except ValueError:
        raise FormRefused("unreadable", 400) from None
    fields = {name: value.strip() for name, value in pairs}
    if len(fields) != len(pairs) or any("\0" in value for value in fields.values()):
        raise FormRefused("unreadable", 400)
    return Form(fields)


class Origin:
    """Says whether a form comes from our own page: by a secret that only the page and the browser's cookie share, and
    by what the browser itself says of where the request began.
    """

    def __init__(self, pickle_key: str, public_url: str) -> None:
        """
        Args:
            pickle_key: what the key of the secrets is made of.
            public_url: of the listener, as browsers know it.
        """
        parts = urlsplit(public_url)
        self._key = derived_key(pickle_key, "forms")
        self._origin = f"{parts.scheme}://{parts.netloc}".lower()
        self._secure = parts.scheme == "https"
        self._path = parts.path.rstrip("/")
        # The prefix makes browsers refuse one that an unencrypted page, or another server of the domain, has set.
        self.cookie: Final = "__Secure-rialto-form" if self._secure else "rialto-form"

    def visitor(self, request: web.Request) -> str:
        """The random text that a browser is known by at a link; a new one when it has none (or does not show it)."""
        return self._known(request) or base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()

    def remember(self, request: web.Request, response: web.Response, visitor: str) -> None:
        """Set the cookie: for this link only, and for as long as the browser runs."""
        path = self._path + request.path
        response.set_cookie(self.cookie, visitor, path=path, secure=self._secure, httponly=True, samesite="Strict")

    def secret(self, visitor: str, digest: str) -> str:
        """What the form of a link carries in this browser."""
        return hmac.digest(self._key, f"{visitor}\0{digest}".encode(), "sha256").hex()

    def check_headers(self, request: web.Request) -> None:
        """What the browser says of where the request began, when it says so.

        Raises:
            FormRefused: another site sent it.
        """
        site = request.headers.get("Sec-Fetch-Site")
        origin = request.headers.get("Origin")
        if site is not None and site != "same-origin":
            raise FormRefused("cross_site", 403)
        # Some browsers name no origin even to the same one, but then they say that it is the same.
        if origin is not None and origin.lower() != self._origin and not (origin == "null" and site is not None):
            raise FormRefused("cross_site", 403)

    def check(self, request: web.Request, form: Form, digest: str) -> str:
        """The secret of a form against the cookie and the link; that secret.

        Raises:
            FormRefused: there is no cookie (``no_cookie``), or they do not belong together.
        """
        visitor = self._known(request)
        if visitor is None:
            raise FormRefused("no_cookie", 403)
        secret = self.secret(visitor, digest)
        if not hmac.compare_digest(secret.encode(), form[CSRF].encode()):
            raise FormRefused("cross_site", 403)
        return secret

    def _known(self, request: web.Request) -> str | None:
        value = request.cookies.get(self.cookie, "")
        return value if _VISITOR.fullmatch(value) else None
