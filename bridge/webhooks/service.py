"""Webhooks: where a product is told what happens in its chats.

An event becomes a delivery for each webhook that wants it, in the commit of what it tells of; the sender then tries
until it is taken, for three days. A delivery's id is made from its cause, so that one cause makes one delivery, and the
receiver knows a second attempt by it.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.clock import Clock
from appservice.database import Database
from appservice.guard import AddressPolicy, AddressRefused
from appservice.sealing import Sealer
from bridge.audit import Audit
from bridge.background import Background
from bridge.domain.hooks import DeliveryState
from bridge.domain.ulids import ENTROPY_BYTES, ulid
from bridge.errors import NotFound, Refused
from bridge.store import webhooks as store
from bridge.store.webhooks import Delivery, Webhook

MOST_WEBHOOKS: Final = 20
"""Of one product."""
SEQ_BITS: Final = 12
_SECRET_BYTES: Final = 24
SECRET_PREFIX: Final = "whsec_"  # noqa: S105  what every secret begins with


class WebhookService:
    """Keeps webhooks, and puts down what they are to be told."""

    def __init__(
        self,
        database: Database,
        audit: Audit,
        clock: Clock,
        *,
        pickle_key: str,
        policy: AddressPolicy,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """
        Args:
            policy: the addresses that webhooks may be at.
        """
        self._database = database
        self._audit = audit
        self._clock = clock
        self._sealer = Sealer(pickle_key, store.PURPOSE)
        self._policy = policy
        self._random = random
        self._hooks: dict[str, list[Webhook]] = {}
        self._seq = 0
        self._sending: Background | None = None

    async def start(self) -> None:
        """Load them."""
        found: dict[str, list[Webhook]] = {}
        for hook in await self._database.read(store.every):
            found.setdefault(hook.product, []).append(hook)
        self._hooks = found

    def wanted(self, product: str, event: str) -> bool:
        """Whether anything of a product wants to be told; asks nobody."""
        return any(event in hook.events and hook.paused_at is None for hook in self._hooks.get(product, ()))

    @property
    def active(self) -> bool:
        """Whether there is a webhook at all."""
        return any(self._hooks.values())

    def emit(
        self, connection: Connection, product: str, event: str, cause: str, data: Mapping[str, Any], chat: str = ""
    ) -> None:
        """Put down what happened, in the transaction in which it does. Call :meth:`hurry` after the commit.

        Args:
            cause: stable: the same cause is told once.
            data: JSON; never the content of a message.
            chat: the id of the chat.
        """
        now = self._clock.now_ms()
        for hook in self._hooks.get(product, ()):
            if event not in hook.events or hook.paused_at is not None:
                continue
            delivery_id = _delivery_id(hook.id, cause)
            body = {"id": delivery_id, "type": event, "at": now, "chat": chat or None, "data": dict(data)}
            payload = self._sealer.seal(json.dumps(body), delivery_id)
            seq = self._next(now)
            delivery = Delivery(delivery_id, hook.id, seq, event, payload, DeliveryState.PENDING, now, now)
            store.enqueue(connection, delivery)

    def _next(self, now: int) -> int:
        """A number after all others: in the order of time, and of the calls within a millisecond."""
        self._seq = max(self._seq + 1, now << SEQ_BITS)
        return self._seq

    def hurry(self) -> None:
        """Something was put down: the sender need not wait."""
        if self._sending is not None:
            self._sending.wake()

    def background(
        self, work: Callable[[], Awaitable[int]], upcoming: Callable[[], Awaitable[int | None]]
    ) -> Background:
        """The task that tells what waits; :meth:`hurry` wakes it."""
        self._sending = Background("webhooks", self._clock, work, upcoming)
        return self._sending

    # What products do with them

    async def add(self, product: str, url: str, events: Collection[str], cause: str) -> tuple[Webhook, str]:
        """A new webhook, and the secret that its deliveries are signed with.

        Args:
            cause: stable for the request: the same one makes the same webhook.

        Raises:
            Refused: the address cannot be told anything, or there are too many webhooks.
        """
        self.check(url)
        now = self._clock.now_ms()
        secret = self._secret()
        hook_id = ulid(now, self._random(ENTROPY_BYTES))
        sealed = self._sealer.seal(secret.encode(), hook_id)
        made = Webhook(hook_id, product, url, sealed, frozenset(events), cause, now)

        def work(connection: Connection) -> Webhook:
            if (before := store.by_cause(connection, cause)) is not None:
                return before
            if store.count(connection, product) >= MOST_WEBHOOKS:
                raise Refused("too_many_webhooks", f"A product has {MOST_WEBHOOKS} webhooks at most.")
            store.add(connection, made)
            self._told(connection, made, "webhook.add", {"events": sorted(made.events)})
            return made

        hook = await self._database.write(work)
        hooks = self._hooks.setdefault(product, [])
        if all(each.id != hook.id for each in hooks):
            hooks.append(hook)
        return hook, self._sealer.open(hook.secret, hook.id).decode()

    async def get(self, product: str, webhook_id: str) -> Webhook:
        """A webhook of a product.

        Raises:
            NotFound: there is none such.
        """
        return await self._database.read(lambda connection: self._found(connection, product, webhook_id))

    async def page(self, product: str, after: str, limit: int) -> list[Webhook]:
        """A page of a product's webhooks."""
        return await self._database.read(lambda connection: store.page(connection, product, after, limit))

    async def change(
        self,
        product: str,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Collection[str] | None = None,
        paused: bool | None = None,
    ) -> Webhook:
        """Change a webhook; what is None stays. What waits for one that is paused is dropped.

        Raises:
            NotFound: there is none such.
            Refused: the address cannot be told anything.
        """
        if url is not None:
            self.check(url)
        now = self._clock.now_ms()

        def work(connection: Connection) -> Webhook:
            hook = self._found(connection, product, webhook_id)
            changed = hook
            if url is not None:
                changed = replace(changed, url=url)
            if events is not None:
                changed = replace(changed, events=frozenset(events))
            if paused is not None and paused != (hook.paused_at is not None):
                changed = replace(
                    changed, paused_at=now if paused else None, pause_reason="by the product" if paused else ""
                )
            if changed == hook:
                return hook
            store.change(
                connection,
                hook.id,
                url=changed.url,
                events=changed.events,
                paused_at=changed.paused_at,
                pause_reason=changed.pause_reason,
            )
            if changed.paused_at is not None:
                store.drop_pending(connection, hook.id, now)
            self._told(connection, changed, "webhook.change", {"paused": changed.paused_at is not None})
            return changed

        changed = await self._database.write(work)
        self._put(changed)
        return changed

    async def pause(self, hook: Webhook, reason: str) -> None:
        """Tell a webhook nothing more, until the product lets it go on."""
        now = self._clock.now_ms()

        def work(connection: Connection) -> None:
            store.change(connection, hook.id, paused_at=now, pause_reason=reason)
            store.drop_pending(connection, hook.id, now)
            self._told(connection, hook, "webhook.pause", {"reason": reason}, actor="system")

        await self._database.write(work)
        self._put(replace(hook, paused_at=now, pause_reason=reason))

    async def rotate(
        self,
        product: str,
        webhook_id: str,
        overlap_s: int,
        also: Callable[[Connection, Webhook, str], None] = lambda _connection, _hook, _secret: None,
    ) -> tuple[Webhook, str]:
        """A new secret; the old one signs too for ``overlap_s`` seconds.

        Args:
            also: done in the same transaction, with the secret.

        Raises:
            NotFound: there is none such.
        """
        now = self._clock.now_ms()
        secret = self._secret()

        def work(connection: Connection) -> Webhook:
            hook = self._found(connection, product, webhook_id)
            sealed = self._sealer.seal(secret.encode(), hook.id)
            changed = replace(hook, secret=sealed, old_secret=hook.secret, old_until=now + overlap_s * 1000)
            store.change(connection, hook.id, secret=sealed, old_secret=changed.old_secret, old_until=changed.old_until)
            also(connection, changed, secret)
            self._told(connection, changed, "webhook.rotate", {"overlap_s": overlap_s})
            return changed

        changed = await self._database.write(work)
        self._put(changed)
        return changed, secret

    async def remove(self, product: str, webhook_id: str) -> None:
        """A webhook is told nothing more, also not what waits.

        Raises:
            NotFound: there is none such.
        """

        def work(connection: Connection) -> None:
            hook = self._found(connection, product, webhook_id)
            store.remove(connection, hook.id)
            self._told(connection, hook, "webhook.remove", {})

        await self._database.write(work)
        self._hooks[product] = [each for each in self._hooks.get(product, ()) if each.id != webhook_id]

    async def ping(self, product: str, webhook_id: str, cause: str) -> str:
        """Have a webhook told that it is there; the id of the delivery.

        Raises:
            NotFound: there is none such.
        """
        now = self._clock.now_ms()

        def work(connection: Connection) -> str:
            hook = self._found(connection, product, webhook_id)
            delivery_id = _delivery_id(hook.id, cause)
            body = {"id": delivery_id, "type": "ping", "at": now, "chat": None, "data": {}}
            payload = self._sealer.seal(json.dumps(body), delivery_id)
            seq = self._next(now)
            delivery = Delivery(delivery_id, hook.id, seq, "ping", payload, DeliveryState.PENDING, now, now)
            store.enqueue(connection, delivery)
            return delivery_id

        delivery_id = await self._database.write(work)
        self.hurry()
        return delivery_id

    async def deliveries(
        self, product: str, webhook_id: str, state: DeliveryState | None, after: tuple[int, str] | None, limit: int
    ) -> list[Delivery]:
        """A page of what a webhook was told, the newest first.

        Raises:
            NotFound: there is none such.
        """

        def work(connection: Connection) -> list[Delivery]:
            hook = self._found(connection, product, webhook_id)
            return store.deliveries(connection, hook.id, state=state, after=after, limit=limit)

        return await self._database.read(work)

    async def delivery(self, product: str, webhook_id: str, delivery_id: str) -> Delivery:
        """One of them.

        Raises:
            NotFound: there is none such.
        """

        def work(connection: Connection) -> Delivery | None:
            hook = self._found(connection, product, webhook_id)
            return store.find_delivery(connection, hook.id, delivery_id)

        found = await self._database.read(work)
        if found is None:
            raise NotFound("no_such_delivery", "There is no such delivery.")
        return found

    # What the sender needs

    def check(self, url: str) -> None:
        """Whether a webhook may be there, as far as can be seen without looking its name up.

        Raises:
            Refused: it may not.
        """
        try:
            parsed = self._policy.check(url, ports=None)
        except AddressRefused as error:
            raise Refused("bad_url", f"A webhook cannot be at this address ({error.reason}).") from None
        if parsed.scheme != "https" and not self._inside(parsed.raw_host or ""):
            raise Refused("bad_url", "A webhook needs https.")

    def open(self, delivery: Delivery) -> bytes:
        """What is to be told, as JSON."""
        return self._sealer.open(delivery.payload, delivery.id)

    def secrets(self, hook: Webhook, now: int) -> list[bytes]:
        """What a delivery is signed with now, the secret that counts first."""
        found = [self._sealer.open(hook.secret, hook.id)]
        if hook.old_secret is not None and hook.old_until is not None and hook.old_until > now:
            found.append(self._sealer.open(hook.old_secret, hook.id))
        return found

    def _inside(self, host: str) -> bool:
        """Whether the operator allows an address by itself: then it is the operator's own network."""
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._policy.allowed)

    def _found(self, connection: Connection, product: str, webhook_id: str) -> Webhook:
        hook = store.find(connection, product, webhook_id)
        if hook is None:
            raise NotFound("no_such_webhook", "There is no such webhook.")
        return hook

    def _put(self, hook: Webhook) -> None:
        hooks = [hook if each.id == hook.id else each for each in self._hooks.get(hook.product, ())]
        self._hooks[hook.product] = hooks

    def _secret(self) -> str:
        return SECRET_PREFIX + base64.urlsafe_b64encode(self._random(_SECRET_BYTES)).decode()

    def _told(
        self, connection: Connection, hook: Webhook, action: str, details: Mapping[str, Any], actor: str = ""
    ) -> None:
        self._audit.append(
            connection,
            at=self._clock.now_ms(),
            actor=actor or f"product:{hook.product}",
            action=action,
            subject=f"webhook:{hook.id}",
            outcome="done",
            details=details,
        )


def _delivery_id(webhook_id: str, cause: str) -> str:
    digest = sha256(f"{webhook_id}\0{cause}".encode()).digest()
    return base64.b32encode(digest[:20]).decode().lower()
