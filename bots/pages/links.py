"""Links to pages: given to one person for one purpose, for a time, redeemed once.

A token is 32 random bytes and their signature. The database knows its SHA-256 only, so that nobody who reads the
database can open a link; and a token that is not of ours is refused by its signature, before the database is asked.
Looking at a link uses nothing up: clients fetch links to show a preview of them. It is redeemed in the commit that does
what it was for.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, TypeAlias

from sqlalchemy import Connection

from appservice.errors import RialtoError
from appservice.sealing import derived_key
from bots.store import pages as sql

PREFIX: Final = "/pages"
"""Where the pages are mounted."""
PURPOSE: Final = re.compile("[a-z][a-z0-9-]{0,39}")
_RANDOM: Final = 32
_SIGNATURE: Final = 16
_TOKEN: Final = re.compile("[A-Za-z0-9_-]{64}")

Why: TypeAlias = Literal["expired", "used", "unknown"]


class LinkInvalid(RialtoError):
    """A link opens nothing: ``why`` is that it is ``expired`` (or was replaced), ``used``, or ``unknown``."""

    code = "link_invalid"

    def __init__(self, why: Why) -> None:
        super().__init__(f"the link is {why}", why=why)
        self.why = why


@dataclass(frozen=True, slots=True)
class LinkClaim:
    """What a link was given for. ``expires_at``: ms since the epoch."""

    purpose: str
    person: str
    subject: str
    expires_at: int
    digest: str
    """Tells links apart, without opening one."""
    used: bool = False


class Links:
    """Issues links and redeems them."""

    def __init__(self, pickle_key: str, randomness: Callable[[int], bytes] = secrets.token_bytes) -> None:
        """
        Args:
            pickle_key: what the key of the signatures is made of.
            randomness: gives so many random bytes.
        """
        self._key = derived_key(pickle_key, "links")
        self._randomness = randomness

    def issue(self, connection: Connection, *, purpose: str, person: str, subject: str, ttl_s: float, now: int) -> str:
        """A new link: its path with the token, for :meth:`WebServer.url`. It counts from the commit on.

        Args:
            purpose: of the page, which is a part of the path.
            subject: what it is about; an id, never words of people.
            now: ms since the epoch.

        Raises:
            ValueError: the purpose cannot stand in a path, or there is no time to use the link.
        """
        path, keep = self.draft(purpose=purpose, person=person, subject=subject, ttl_s=ttl_s, now=now)
        keep(connection)
        return path

    def draft(
        self, *, purpose: str, person: str, subject: str, ttl_s: float, now: int
    ) -> tuple[str, Callable[[Connection], None]]:
        """As :meth:`issue`, for a link that is said in the commit that keeps it: its path, and what keeps it."""
        if not PURPOSE.fullmatch(purpose) or ttl_s <= 0:
            raise ValueError(f"a link needs a purpose like set-pin and a time, got {purpose!r} and {ttl_s} s")
        random = self._randomness(_RANDOM)
        token = base64.urlsafe_b64encode(random + self._signature(purpose, random)).decode()
        link = sql.Link(purpose, person, subject, now, now + round(ttl_s * 1000))

        def keep(connection: Connection) -> None:
            sql.add_link(connection, _digest(random), link)

        return f"{PREFIX}/{purpose}/{token}", keep

    def genuine(self, token: str, purpose: str) -> bool:
        """Whether a token was made here for this purpose. Asks nobody."""
        return self._random(token, purpose) is not None

    def look(self, connection: Connection, token: str, purpose: str, now: int) -> LinkClaim:
        """What a link is for, also when it is used up; uses nothing up.

        Raises:
            LinkInvalid: it is expired or unknown.
        """
        digest = self.digest(token, purpose)
        link = sql.find_link(connection, digest, purpose)
        # One that is ours and is not there any more was forgotten long after its time.
        if link is None or (link.used_at is None and link.expires_at <= now):
            raise LinkInvalid("expired")
        return LinkClaim(purpose, link.person, link.subject, link.expires_at, digest, link.used_at is not None)

    def peek(self, connection: Connection, token: str, purpose: str, now: int) -> LinkClaim:
        """What a link is for, when it can be redeemed; uses nothing up.

        Raises:
            LinkInvalid: it cannot.
        """
        claim = self.look(connection, token, purpose, now)
        if claim.used:
            raise LinkInvalid("used")
        return claim

    def redeem(self, connection: Connection, token: str, purpose: str, now: int) -> LinkClaim:
        """Use a link up, in the commit of what it is for: when that fails, the link stays.

        Raises:
            LinkInvalid: it cannot be used (any more).
        """
        claim = self.peek(connection, token, purpose, now)
        if not sql.use_link(connection, claim.digest, purpose, now):
            raise LinkInvalid("used")
        return claim

    def withdraw(self, connection: Connection, *, purpose: str, person: str, subject: str, now: int) -> int:
        """Let the unused links of a person to a subject expire; how many."""
        return sql.withdraw_links(connection, purpose, person, subject, now)

    def digest(self, token: str, purpose: str) -> str:
        """How a token is known to the database.

        Raises:
            LinkInvalid: it is unknown.
        """
        random = self._random(token, purpose)
        if random is None:
            raise LinkInvalid("unknown")
        return _digest(random)

    def _random(self, token: str, purpose: str) -> bytes | None:
        if not _TOKEN.fullmatch(token):
            return None
        both = base64.urlsafe_b64decode(token)
        random = both[:_RANDOM]
        return random if hmac.compare_digest(both[_RANDOM:], self._signature(purpose, random)) else None

    def _signature(self, purpose: str, random: bytes) -> bytes:
        return hmac.digest(self._key, purpose.encode() + b"\0" + random, "sha256")[:_SIGNATURE]


def _digest(random: bytes) -> str:
    return sha256(random).hexdigest()
