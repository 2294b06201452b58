"""Webhooks of other services: ``POST /hooks/{bot}/{name}`` becomes an internal event that a consumer answers.

202 means stored: the answer follows the commit, 503 asks to send it again. Whoever does not show a hook's secret learns
nothing, not even whether there is such a hook: all that they hear is 401.

Three ways to show it:

``rialto``
    ``X-Rialto-Signature: t=<unix seconds>,v1=<hex>``, where ``v1`` is the HMAC-SHA256 of ``<t>.<body>``. A request is
    good for :data:`WINDOW_S` seconds; within them the same one again is answered like the first and stored once.
``github``
    ``X-Hub-Signature-256: sha256=<hex>``, the HMAC-SHA256 of the body, and ``X-GitHub-Delivery``, the id by which a
    second delivery is known. The signature covers no time: a copy of a request stays good as long as the secret.
``bearer``
    ``Authorization: Bearer <secret>``. ``Idempotency-Key`` is the id by which a second delivery is known; without one
    each request is one of its own. It signs nothing: over TLS only.

A second delivery is known for as long as the inbox keeps finished events (``engine.retention``).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal, TypeAlias

from aiohttp import web
from sqlalchemy import Connection

from appservice import json
from appservice import log as logs
from appservice.database import DatabaseError
from appservice.errors import RialtoError
from appservice.events import InternalEvent
from bots.framework.limits import Limited, RateLimit, RateLimiter
from bots.framework.web import json_answer, json_error

log = logging.getLogger(__name__)

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[object]]
Scheme: TypeAlias = Literal["rialto", "github", "bearer"]

KIND: Final = "rialto.webhook"
WINDOW_S: Final = 300
"""How far the time of a signature may be from ours, either way."""
BODY_S: Final = 10.0
"""Seconds in which a body must have arrived."""
READING: Final = 32
"""Bodies of callers who may be anybody that are read at the same time."""
STORE_RETRY_S: Final = 5
MIN_SECRET: Final = 16
MAX_SIGNATURES: Final = 5
HEADERS: Final = frozenset(
    {
        "content-type",
        "date",
        "user-agent",
        "x-event-key",
        "x-event-type",
        "x-gitea-event",
        "x-github-delivery",
        "x-github-event",
        "x-gitlab-event",
        "x-request-id",
    }
)
"""Those that the event brings along unless the hook names others: what an event is, never who may send one."""
_SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization", "x-rialto-signature"})
CHARSETS: Final = frozenset({"utf-8", "us-ascii", "iso-8859-1", "windows-1252"})
CALLS: Final = RateLimit(120, 60)
_COMPLAINTS: Final = RateLimit(1, 60)
_SECONDS: Final = re.compile("[0-9]{1,12}")
_NAME: Final = re.compile(r"[a-z0-9._=+-]{1,255}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_JSON: Final = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json")


class HookError(RialtoError):
    """A hook that cannot be: its name, a short secret, or there is one of this name."""

    code = "webhook_invalid"


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook of a bot, and whose event a call becomes."""

    bot: str
    """The localpart of the bot's user."""
    name: str
    consumer: str
    secret: str = field(repr=False)
    room_id: str = ""
    """The room whose order the events keep; of the hook itself unless told."""
    scheme: Scheme = "rialto"
    kind: str = KIND
    """The type of the events."""
    old_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Taken too, while the other side changes to the new one."""
    max_body: int = 256 * 1024
    """Bytes. The listener's own bound (``web.max_body``) counts as well."""
    rate: RateLimit = CALLS
    headers: frozenset[str] = HEADERS
    """Those that the event brings along, in lower case."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.bot) or not _NAME.fullmatch(self.name):
            raise HookError(f"a webhook is named in lower-case letters, digits and . _ = + -, got {self.name[:60]!r}")
        if any(len(secret) < MIN_SECRET for secret in self._secrets()):
            raise HookError(
                f"the webhook {self.path} needs a secret of {MIN_SECRET} characters or more", hook=self.path
            )
        if self.scheme not in {"rialto", "github", "bearer"}:
            raise HookError(f"the webhook {self.path} cannot be signed by {self.scheme!r}", hook=self.path)
        if self.headers & _SECRET_HEADERS or any(name != name.lower() for name in self.headers):
            raise HookError(f"the webhook {self.path} cannot hand these headers on", hook=self.path)

    @property
    def path(self) -> str:
        """Where it is called."""
        return f"/hooks/{self.bot}/{self.name}"

    def _secrets(self) -> tuple[str, ...]:
        return (self.secret, *self.old_secrets)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The secrets, the one that counts first."""
        return tuple(secret.encode() for secret in self._secrets())


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request shows to prove that it may: read from its headers alone, in the same way for every path."""

    stamped: tuple[str, ...] = ()
    """Signatures of ``rialto``, within the window."""
    stamp: bytes = b""
    """What stands before the body in what they sign."""
    hub: str = ""
    """The signature of ``github``."""
    delivery: str = ""
    bearer: bytes | None = None
    """The digest of the token."""
    idempotency: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to check."""
        return not self.stamped and not self.hub and self.bearer is None


@dataclass(frozen=True, slots=True)
class _Entry:
    hook: Hook
    calls: RateLimiter
    complaints: RateLimiter
    """How often the log may say that somebody could not prove to be the caller."""


class _Refused(Exception):
    def __init__(self, response: web.Response) -> None:
        self.response = response


class Webhooks:
    """The hooks there are, and the handler of their calls. ``server.mount("/hooks", webhooks.app())``."""

    def __init__(
        self,
        raise_events: RaiseEvents,
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            raise_events: stores the events of a function in a commit: ``Service.raise_events``.
            clock_ms: milliseconds since the epoch; signatures are compared with it.
            monotonic: seconds, for rate limits.
        """
        self._raise_events = raise_events
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._hooks: dict[tuple[str, str], _Entry] = {}
        self._reading = 0
        self._nobody = secrets.token_bytes(32)

    def add(self, hook: Hook) -> None:
        """Take calls of a hook.

        Raises:
            HookError: the bot has one of this name.
        """
        place = (hook.bot, hook.name)
        if place in self._hooks:
            raise HookError(f"there are two webhooks {hook.path}", hook=hook.path)
        self._hooks[place] = _Entry(hook, RateLimiter(hook.rate, capacity=1), RateLimiter(_COMPLAINTS, capacity=1))
        for secret in (hook.secret, *hook.old_secrets):
            logs.register_secret(secret)

    def remove(self, hook: Hook) -> None:
        """Take no more of its calls; harmless when it is not there."""
        self._hooks.pop((hook.bot, hook.name), None)

    def app(self) -> web.Application:
        """The routes below ``/hooks``."""
        app = web.Application()
        app.router.add_post("/{bot}/{name}", self._post)
        return app

    async def _post(self, request: web.Request) -> web.StreamResponse:
        try:
            claim = _claimed(request, self._clock_ms() // 1000)
            # Without a proof there is no reason to read a body. What a proof must be, and whether there is a hook, is
            # asked after it only: a caller who keeps the body back learns nothing.
            if claim.empty:
                raise _Refused(_unauthorized())
            body = await self._body(request)
            entry = self._hooks.get((request.match_info["bot"], request.match_info["name"]))
            if entry is None:
                _proven(None, (self._nobody,), claim, body)
                raise _Refused(_unauthorized())
            hook = entry.hook
            if not _proven(hook.scheme, hook.keys, claim, body):
                if not isinstance(entry.complaints.check("", self._monotonic()), Limited):
                    log.warning("a webhook is called without its secret", extra={"hook": hook.path})
                raise _Refused(_unauthorized())
            self._limit(entry)
            event = _event(hook, request, claim, body)
        except _Refused as refused:
            return refused.response
        try:
            await self._raise_events(lambda _connection: [event])
        except DatabaseError as error:
            log.error("a webhook could not be stored: %s", error, extra={"hook": hook.path})
            return json_error(503, "not_stored", "not stored, send it again", retry_after=STORE_RETRY_S)
        return json_answer(202, {"status": "accepted", "id": event.key.rpartition(":")[2]})

    def _limit(self, entry: _Entry) -> None:
        verdict = entry.calls.check("", self._monotonic())
        if isinstance(verdict, Limited):
            if verdict.tell:
                log.warning("a webhook is called too often", extra={"hook": entry.hook.path})
            seconds = math.ceil(verdict.retry_after)
            raise _Refused(json_error(429, "too_many", "too many calls", retry_after=seconds))

    async def _body(self, request: web.Request) -> bytes:
        if self._reading >= READING:
            raise _Refused(json_error(503, "busy", "too many requests are under way", retry_after=1))
        self._reading += 1
        try:
            if request.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise _Refused(json_error(415, "wrong_encoding", "the body must not be compressed"))
            async with asyncio.timeout(BODY_S):
                return await request.read()
        except TimeoutError:
            raise _Refused(json_error(408, "too_slow", "the body did not arrive in time")) from None
        finally:
            self._reading -= 1


# Who may


def _claimed(request: web.Request, now: int) -> _Claim:
    """What the headers show; what is malformed, or of another time than ``now`` (seconds), is not there."""
    headers = request.headers
    stamped, stamp = _stamped(headers.get("X-Rialto-Signature", ""), now)
    algorithm, _, hub = headers.get("X-Hub-Signature-256", "").partition("=")
    if algorithm != "sha256" or not _SIGNATURE.fullmatch(hub):
        hub = ""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    shown = token.strip().encode("utf-8", "surrogateescape") if scheme.lower() == "bearer" else b""
    return _Claim(
        stamped,
        stamp,
        hub,
        headers.get("X-GitHub-Delivery", ""),
        sha256(shown).digest() if shown else None,
        headers.get("Idempotency-Key", ""),
    )


def _stamped(header: str, now: int) -> tuple[tuple[str, ...], bytes]:
    """``t=…,v1=…``: several ``v1`` are one for each secret of the caller's."""
    moments: list[str] = []
    signatures: list[str] = []
    for part in header[:1024].split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            moments.append(value)
        elif name == "v1" and _SIGNATURE.fullmatch(value):
            signatures.append(value)
    if len(moments) != 1 or not _SECONDS.fullmatch(moments[0]) or abs(now - int(moments[0])) > WINDOW_S:
        return (), b""
    return tuple(signatures[:MAX_SIGNATURES]), moments[0].encode() + b"."


def _proven(scheme: Scheme | None, keys: Iterable[bytes], claim: _Claim, body: bytes) -> bool:
    """Compare everything shown with every secret, always: how long it takes tells nothing.

    Without a ``scheme`` by whichever was shown, for as much work as where there is a hook.
    """
    proven = False
    for key in keys:
        if scheme in {"rialto", None} and claim.stamped:
            expected = hmac.new(key, claim.stamp + body, sha256).hexdigest()
            for signature in claim.stamped:
                proven |= hmac.compare_digest(expected, signature)
        if scheme in {"github", None} and claim.hub:
            proven |= hmac.compare_digest(hmac.new(key, body, sha256).hexdigest(), claim.hub)
        if scheme in {"bearer", None} and claim.bearer is not None:
            proven |= hmac.compare_digest(sha256(key).digest(), claim.bearer)
    return proven


def _unauthorized() -> web.Response:
    """There is no such hook, or it was not proven: the same to the outside."""
    return json_error(401, "unauthorized", "no webhook for this path and signature")


# What it says


def _event(hook: Hook, request: web.Request, claim: _Claim, body: bytes) -> InternalEvent:
    """The event of a call.

    Its content: ``bot``, ``hook``, ``method``, ``headers``, ``content_type``, and ``json`` or ``text``.
    """
    if len(body) > hook.max_body:
        raise _Refused(json_error(413, "too_large", f"the body has more than {hook.max_body} bytes"))
    content: dict[str, Any] = {
        "bot": hook.bot,
        "hook": hook.name,
        "method": request.method,
        "headers": {
            name.lower(): value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            for name, value in request.headers.items()
            if name.lower() in hook.headers
        },
        "content_type": request.content_type,
        **_read(request, body),
    }
    if hook.scheme == "rialto":
        # What was signed, and not the signature: the same call signed by the new secret is the same call.
        delivery = claim.stamp + body
    elif hook.scheme == "github":
        delivery = (claim.delivery or claim.hub).encode("utf-8", "surrogateescape")
    else:
        delivery = claim.idempotency.encode("utf-8", "surrogateescape") or secrets.token_bytes(16)
    key = sha256(hook.scheme.encode() + b"\0" + delivery).hexdigest()[:40]
    return InternalEvent(
        key=f"hook:{hook.consumer}:{hook.bot}/{hook.name}:{key}",
        consumer=hook.consumer,
        room_id=hook.room_id or f"hook:{hook.bot}/{hook.name}",
        type=hook.kind,
        content=content,
    )


def _read(request: web.Request, body: bytes) -> dict[str, Any]:
    """The body as JSON or text."""
    kind = request.content_type
    try:
        if _JSON.fullmatch(kind):
            return {"json": json.loads(json.dumps(json.loads(body)))}
        charset = (request.charset or "utf-8").lower()
        if charset in CHARSETS and (kind.startswith("text/") or kind == "application/x-www-form-urlencoded"):
            return {"text": body.decode(charset)}
    except (json.JSONError, UnicodeDecodeError):
        raise _Refused(json_error(400, "unreadable", "the body is not what its content type says")) from None
    raise _Refused(json_error(415, "wrong_type", "the body must be JSON, text or a form"))
