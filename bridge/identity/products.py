"""Embedding products and their keys.

The database knows the HMAC of a key only, made with a key derived from the pickle key: who reads the database cannot
use the API. A rotation makes a new key and lets the old one be good for a while longer, so that a product changes over
without a gap.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.sealing import derived_key
from bridge.audit import Audit
from bridge.domain import keys as form
from bridge.domain.product_names import PRODUCT
from bridge.domain.scopes import unknown
from bridge.errors import Conflict, NotFound, Refused
from bridge.store import products as store
from bridge.store.products import Product, ProductKey

CACHE_MS: Final = 1_000
"""A key that was revoked by another process is refused after so many milliseconds at the latest."""
TOUCH_MS: Final = 60_000
MOST_CACHED: Final = 1_000
MOST_KEYS: Final = 100
"""Keys of a product that are good at the same time."""
LONGEST_OVERLAP_S: Final = 30 * 86_400
_TITLE: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,100}")


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key. ``text`` is shown once: nobody can find it out later."""

    key: ProductKey
    text: str

    def __repr__(self) -> str:
        return f"MadeKey({self.key.id})"


class Products:
    """Makes products and keys, and knows a key that is shown."""

    def __init__(
        self,
        database: Database,
        audit: Audit,
        clock: Clock,
        pickle_key: str,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._random = random
        self._pepper = derived_key(pickle_key, "product-keys")
        self._cache: dict[str, tuple[int, ProductKey, Product]] = {}

    async def add(self, name: str, title: str, scopes: Iterable[str], *, actor: str = "operator") -> MadeKey:
        """A new product with its first key.

        Raises:
            Refused: the name or the title cannot be, or a scope is none.
            Conflict: there is a product of this name.
        """
        if not PRODUCT.fullmatch(name):
            raise Refused(
                "bad_product_name", "A product is named in lower-case letters and digits, with one hyphen at most."
            )
        if not _TITLE.fullmatch(title.strip()):
            raise Refused("bad_title", "A title has 1 to 100 characters.")
        now = self._clock.now_ms()
        made = self._made(name, frozenset(scopes), "", now)

        def work(connection: Connection) -> None:
            if not store.add(connection, Product(name, title.strip(), now)):
                raise Conflict("product_exists", f"There is a product {name} already.")
            store.add_key(connection, made.key)
            self._told(connection, actor, "product.add", made.key)

        await self._database.write(work)
        return made

    async def list(self) -> list[tuple[Product, list[ProductKey]]]:
        """All products with their keys."""

        def work(connection: Connection) -> list[tuple[Product, list[ProductKey]]]:
            return [(each, store.keys_of(connection, each.name)) for each in store.every(connection)]

        return await self._database.read(work)

    async def find(self, name: str) -> Product | None:
        """The product of a name."""
        return await self._database.read(lambda connection: store.find(connection, name))

    async def add_key(self, name: str, scopes: Iterable[str], label: str = "", *, actor: str = "operator") -> MadeKey:
        """A further key of a product.

        Raises:
            NotFound: there is no such product.
            Refused: a scope is none, or there are too many keys.
        """
        now = self._clock.now_ms()
        made = self._made(name, frozenset(scopes), label[:100], now)

        def work(connection: Connection) -> None:
            if store.find(connection, name) is None:
                raise NotFound("no_such_product", f"There is no product {name}.")
            self._bound(connection, name, now)
            store.add_key(connection, made.key)
            self._told(connection, actor, "key.make", made.key)

        await self._database.write(work)
        return made

    async def rotate(
        self, key_id: str, overlap_s: float, *, actor: str = "operator", product: str = "", cause: str = ""
    ) -> MadeKey:
        """A new key with the scopes of one, which stays good for ``overlap_s`` seconds.

        Args:
            product: whose key it must be; anybody's unless told.
            cause: stable for a request: the same one gives the same key, also when its answer was lost in a crash.

        Raises:
            NotFound: there is no such key, or it is good no more.
            Conflict: it was rotated already.
            Refused: the overlap is too long, or there are too many keys.
        """
        if not 0 <= overlap_s <= LONGEST_OVERLAP_S:
            raise Refused("bad_overlap", "The old key stays good for 30 days at most.")
        now = self._clock.now_ms()
        text = self._text()
        if cause:
            seed = hmac.digest(self._pepper, f"rotate\0{key_id}\0{cause}".encode(), "sha512")
            text = form.made(seed[: form.ID_BYTES + form.SECRET_BYTES])

        def work(connection: Connection) -> MadeKey:
            found = store.find_key(connection, key_id)
            if found is None or not found[0].good(now) or product not in {"", found[0].product}:
                raise NotFound("no_such_key", "There is no such key.")
            old = found[0]
            if old.successor == text.id and (again := store.find_key(connection, text.id)) is not None:
                return MadeKey(again[0], text.text)
            self._bound(connection, old.product, now)
            key = replace(old, id=text.id, hash=self._hash(text.text), created_at=now, expires_at=None, used_at=None)
            if not store.replace_key(connection, key_id, text.id, now + round(overlap_s * 1000)):
                raise Conflict("key_rotated", "The key was rotated already.")
            store.add_key(connection, replace(key, successor=None))
            self._told(connection, actor, "key.rotate", key, {"old": key_id, "overlap_s": overlap_s})
            return MadeKey(key, text.text)

        made = await self._database.write(work)
        self._cache.pop(key_id, None)
        return made

    async def revoke(self, key_id: str, *, actor: str = "operator") -> None:
        """A key is good no more.

        Raises:
            NotFound: there is no such key, or it was revoked already.
        """
        now = self._clock.now_ms()

        def work(connection: Connection) -> None:
            found = store.find_key(connection, key_id)
            if found is None or not store.revoke_key(connection, key_id, now):
                raise NotFound("no_such_key", "There is no such key, or it was revoked already.")
            self._told(connection, actor, "key.revoke", found[0])

        await self._database.write(work)
        self._cache.pop(key_id, None)

    async def authenticate(self, text: str) -> tuple[ProductKey, Product] | None:
        """The key that is shown, if it is one and good."""
        parsed = form.parse(text)
        if parsed is None:
            return None
        now = self._clock.now_ms()
        cached = self._cache.get(parsed.id)
        if cached is not None and cached[0] > now:
            _, key, product = cached
        else:
            found = await self._database.read(lambda connection: store.find_key(connection, parsed.id))
            if found is None:
                return None
            key, product = found
            if len(self._cache) >= MOST_CACHED:
                self._cache.clear()
            self._cache[parsed.id] = (now + CACHE_MS, key, product)
        if not hmac.compare_digest(self._hash(parsed.text), key.hash):
            return None
        if not key.good(now) or product.disabled_at is not None:
            return None
        if key.used_at is None or key.used_at < now - TOUCH_MS:
            self._cache[key.id] = (now + CACHE_MS, replace(key, used_at=now), product)
            await self._database.write(lambda connection: store.touch_key(connection, key.id, now))
        return key, product

    def _made(self, product: str, scopes: frozenset[str], label: str, now: int) -> MadeKey:
        if wrong := unknown(scopes):
            raise Refused("no_such_scope", f"There is no scope {wrong[0]}.")
        if not scopes:
            raise Refused("no_scope", "A key needs a scope.")
        text = self._text()
        return MadeKey(ProductKey(text.id, product, self._hash(text.text), scopes, label, now), text.text)

    def _text(self) -> form.Key:
        return form.made(self._random(form.ID_BYTES + form.SECRET_BYTES))

    def _hash(self, text: str) -> bytes:
        return hmac.digest(self._pepper, text.encode(), "sha256")

    def _bound(self, connection: Connection, product: str, now: int) -> None:
        if sum(key.good(now) for key in store.keys_of(connection, product)) >= MOST_KEYS:
            raise Refused("too_many_keys", f"A product has {MOST_KEYS} keys at most.")

    def _told(
        self, connection: Connection, actor: str, action: str, key: ProductKey, more: dict[str, object] | None = None
    ) -> None:
        details = {"key": key.id, "scopes": sorted(key.scopes)} | (more or {})
        self._audit.append(
            connection,
            at=self._clock.now_ms(),
            actor=actor,
            action=action,
            subject=f"product:{key.product}",
            outcome="done",
            details=details,
        )
