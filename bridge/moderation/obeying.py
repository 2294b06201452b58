"""Rules of policy lists obeyed: read from their rooms, and members banned and let in again as they say."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import InternalEvent
from appservice.homeserver import HomeserverError
from appservice.metrics import Metrics
from bridge.actor import SYSTEM
from bridge.audit import Audit, Scribe
from bridge.background import Background
from bridge.domain.policies import TYPES, Rule, Rules, is_pattern, spares
from bridge.errors import Refused
from bridge.moderation.authority import Authority
from bridge.moderation.desk import Desk
from bridge.registry import Registry
from bridge.steward import Steward, within_power
from bridge.store import policies as store
from bridge.store.chats import Chat
from bridge.store.policies import Kept, PolicyList

log = logging.getLogger(__name__)

BATCH: Final = 500
MOST_RULES: Final = 100_000
RETRY_MS: Final = 60_000
MOST_KEY: Final = 255

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[Any]]


class Obeying:
    """Knows the rules, and has them obeyed."""

    def __init__(
        self,
        steward: Steward,
        database: Database,
        registry: Registry,
        authority: Authority,
        desk: Desk,
        raise_events: RaiseEvents,
        audit: Audit,
        clock: Clock,
        metrics: Metrics,
        *,
        service_users: Collection[str],
        configured: Sequence[str] = (),
        most_bans: int = 50,
    ) -> None:
        """
        Args:
            service_users: the bots and the steward: nobody bans them.
            configured: rooms or aliases of lists that the operator has subscribed to.
            most_bans: people at most whom a rule with a pattern bans by itself.
        """
        self._steward = steward
        self._database = database
        self._registry = registry
        self._authority = authority
        self._desk = desk
        self._raise_events = raise_events
        self._note = Scribe(audit, clock)
        self._clock = clock
        self._metrics = metrics
        self._spared = frozenset(service_users) | set(authority.moderators)
        self._configured = tuple(configured)
        self._subscribed: set[str] = set()
        self._most_bans = most_bans
        self._retry_at: int | None = None
        self._lift = True
        self.rules = Rules()
        self.rooms: frozenset[str] = frozenset()
        """The rooms of the lists."""
        self.background = Background("policies", clock, self.run_due, self._upcoming)

    async def start(self) -> None:
        """Load what is known."""
        await self.reload()

    async def reload(self) -> None:
        """Take rules from the database: they have changed."""

        def read(connection: Connection) -> tuple[list[PolicyList], list[Kept]]:
            return store.lists(connection), store.rules(connection)

        lists, kept = await self._database.read(read)
        self.rooms = frozenset(each.room_id for each in lists)
        self.rules = Rules(each.rule for each in kept if self._followed(each.rule))

    def _followed(self, rule: Rule) -> bool:
        return spares(rule, self._steward.server_name, self._spared)

    def against(self, user_id: str) -> Rule | None:
        """The rule that bans a user."""
        return None if user_id in self._spared else self.rules.about_user(user_id)

    async def ban(self, chat: Chat, user_id: str, rule: Rule) -> bool:
        """Ban somebody from a chat by a rule; False when it is not in the steward's power. It is noted first: a crash
        between the two must not leave a ban that nobody lifts.
        """
        now = self._clock.now_ms()
        hand = self._steward.of(chat)
        if await hand.membership(chat.room_id, user_id) == "ban":
            return True
        await self._database.write(lambda connection: store.add_ban(connection, chat.room_id, user_id, rule, now))
        reason = rule.reason or "moderation policy"
        try:
            with within_power():
                await hand.ban(chat.room_id, user_id, reason)
        except (Refused, HomeserverError) as error:
            if isinstance(error, HomeserverError) and error.temporary:
                raise
            log.warning("a policy's ban cannot be made: %s", error, extra={"room_id": chat.room_id})
            await self._database.write(lambda connection: store.drop_bans(connection, [(chat.room_id, user_id)]))
            return False
        details = {"user": user_id, "rule": f"{rule.kind.value} {rule.entity}"}
        await self._database.write(
            lambda it: self._note(it, SYSTEM.name, "policy.ban", f"chat:{chat.id}", "done", details)
        )
        self._metrics.policy_bans.inc()
        return True

    async def run_due(self) -> int:
        """Subscribe, read lists, ban and lift bans as rules say; how much was done."""
        self._retry_at = None
        try:
            await self._subscribe_configured()
            done = await self._read_lists()
            done += await self._apply()
            done += await self._lift_bans()
        except HomeserverError:
            self._retry_at = self._clock.now_ms() + RETRY_MS
            raise
        return done

    async def _subscribe_configured(self) -> None:
        """Follow what the configuration says."""

    async def _read_lists(self) -> int:
        lists = await self._database.read(store.lists)
        done = 0
        for each in lists:
            if each.read_at is None:
                await self._read(each)
                done += 1
        return done

    async def _read(self, found: PolicyList) -> None:
        """Take all rules of a list, and forget those that it has no more."""
        try:
            state = await self._steward.full_state(found.room_id)
        except HomeserverError as error:
            if error.temporary:
                raise
            log.warning("a policy list cannot be read: %s", error, extra={"room_id": found.room_id})
            state = []
        rules: dict[tuple[str, str], Rule] = {}
        for raw in state:
            kind, key, content = raw.get("type"), raw.get("state_key"), raw.get("content")
            if not isinstance(kind, str) or kind not in TYPES or not usable(key) or not isinstance(content, dict):
                continue
            rule = Rule.parse(kind, content)
            if rule is not None and len(rules) < MOST_RULES:
                rules[kind, str(key)] = rule
        now = self._clock.now_ms()
        for begin in range(0, len(rules), BATCH):
            part = list(rules.items())[begin : begin + BATCH]

            def keep(connection: Connection, part: list[tuple[tuple[str, str], Rule]] = part) -> None:
                for (kind, key), rule in part:
                    store.set_rule(connection, found.room_id, kind, key, rule, now)

            await self._database.write(keep)

        def finish(connection: Connection) -> None:
            for kept in store.rules(connection, found.room_id):
                if (kept.type, kept.state_key) not in rules:
                    store.drop_rule(connection, found.room_id, kept.type, kept.state_key)
            store.set_read(connection, found.room_id, now)

        await self._database.write(finish)
        await self.reload()
        self._lift = True

    async def _apply(self) -> int:
        """Ban members whom new rules match: all new rules in one pass over all members."""
        fresh = await self._database.read(lambda connection: store.unapplied(connection, BATCH))
        if not fresh:
            return 0
        followed = {each.rule: each for each in fresh if self._followed(each.rule)}
        rules, hits = Rules(followed), dict[Rule, list[tuple[str, str]]]()
        after = ("", "")
        while followed:
            page = await self._page(store.members_after, after)
            for user_id, room_id in page:
                rule = None if user_id in self._spared else rules.about_user(user_id)
                if rule is not None:
                    hits.setdefault(rule, []).append((user_id, room_id))
            if len(page) < BATCH:
                break
            after = page[-1]
        for rule, found in hits.items():
            people = {user_id for user_id, _ in found}
            if is_pattern(rule.entity) and len(people) > self._most_bans:
                await self._too_many(followed[rule], len(people))
                continue
            for user_id, room_id in found:
                chat = self._registry.get(room_id)
                if chat is not None:
                    await self.ban(chat, user_id, rule)
        now = self._clock.now_ms()

        def finish(connection: Connection) -> None:
            for each in fresh:
                store.set_applied(connection, each, now)

        await self._database.write(finish)
        return len(fresh)

    async def _page(
        self, read: Callable[[Connection, tuple[str, str], int], list[tuple[str, str]]], after: tuple[str, str]
    ) -> list[tuple[str, str]]:
        return await self._database.read(lambda connection: read(connection, after, BATCH))

    async def _too_many(self, kept: Kept, people: int) -> None:
        """Leave it to people: who is there stays, and moderators are told. Who comes is banned all the same."""
        log.warning("a policy rule matches %d members and is left to moderators", people)
        key = f"{kept.room_id} {kept.type} {sha256(kept.rule.entity.encode()).hexdigest()[:20]} {kept.since}"
        values = {"rule": f"{kept.rule.kind.value} {kept.rule.entity}", "count": people}
        details = {"entity": kept.rule.entity, "people": people}

        def work(connection: Connection) -> Iterable[InternalEvent]:
            self._note(connection, SYSTEM.name, "policy.ban", kept.room_id, "left_to_moderators", details)
            return self._desk.tell(key, "bans", "", values)

        await self._raise_events(work)

    async def _lift_bans(self) -> int:
        if not self._lift:
            return 0
        after, lifted = ("", ""), 0
        while True:
            page = await self._page(store.bans, after)
            for room_id, user_id in page:
                if self.against(user_id) is None:
                    await self._unban(room_id, user_id)
                    lifted += 1
            if len(page) < BATCH:
                break
            after = page[-1]
        self._lift = False
        return lifted

    async def _unban(self, room_id: str, user_id: str) -> None:
        chat = self._registry.get(room_id)
        if chat is not None:
            try:
                await self._steward.of(chat).unban(room_id, user_id)
            except HomeserverError as error:
                if error.temporary:
                    raise
                log.warning("a policy's ban cannot be lifted: %s", error, extra={"room_id": room_id})

        def work(connection: Connection) -> None:
            store.drop_bans(connection, [(room_id, user_id)])
            subject = room_id if chat is None else f"chat:{chat.id}"
            self._note(connection, SYSTEM.name, "policy.unban", subject, "done", {"user": user_id})

        await self._database.write(work)

    def _look_again(self) -> None:
        self._lift = True
        self.background.wake()

    async def changed(self) -> None:
        """Rules came or went, by an event."""
        await self.reload()
        self._look_again()

    async def _upcoming(self) -> int | None:
        return self._retry_at


def usable(key: object) -> bool:
    """Whether a state key of a stranger's is one that databases hold."""
    return (
        isinstance(key, str)
        and len(key) <= MOST_KEY
        and "\0" not in key
        and key == key.encode(errors="replace").decode()
    )
