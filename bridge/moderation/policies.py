"""Moderation policy lists (specification): rooms whose state says who is not wanted. Followed, and one published.

A rule bans whom it matches from every chat, when they come and when the rule does; when no list says so any more the
ban is lifted. Lists are strangers': what would empty whole chats is not followed
(:func:`bridge.domain.policies.spares`, ``most_bans``), and moderators are told.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from appservice.homeserver import HomeserverError
from bridge.actor import SYSTEM, Actor
from bridge.chats.plans import hidden_alias, public_alias
from bridge.domain.kinds import ROOM_VERSION
from bridge.domain.policies import MOST_ENTITY, Kind, Rule
from bridge.domain.roles import STEWARD
from bridge.errors import NotFound, Refused
from bridge.moderation.obeying import MOST_KEY, Obeying
from bridge.moderation.words import prose
from bridge.store import policies as store
from bridge.store.policies import PolicyList

log = logging.getLogger(__name__)

PURPOSE: Final = "policies"
ALIAS: Final = "policies"
NAME: Final = "Moderation policies"
ROOM_TYPE: Final = "support.feline.policy.lists.msc.v1"
"""As the moderation bots that are in use call such rooms."""


class PolicyService(Obeying):
    """Follows lists, and publishes one."""

    @property
    def alias(self) -> str:
        """The address of our own list."""
        return public_alias(self._steward.user_id, self._steward.server_name, ALIAS)

    # Lists

    async def lists(self, actor: Actor) -> list[PolicyList]:
        """Those that are followed."""
        self._authority.require(actor)
        return await self._database.read(store.lists)

    async def subscribe(self, actor: Actor, room: str) -> PolicyList:
        """Follow a list, by its room id or alias.

        Raises:
            Refused: it cannot be joined.
        """
        self._authority.require(actor)
        if not room.startswith(("!", "#")) or len(room.encode(errors="replace")) > MOST_KEY or not room.isprintable():
            raise Refused("room_invalid", "A list is named like #list:example.org or !abc:example.org.")
        try:
            room_id = await self._steward.join(room)
        except HomeserverError as error:
            if error.temporary:
                raise
            raise Refused("list_closed", "This room cannot be joined.") from error
        if room_id in self._registry:
            raise Refused("list_is_chat", "That is a chat, and no policy list.")
        name = (await self._steward.state(room_id, "m.room.name") or {}).get("name")
        name = name[:200].replace("\0", "") if isinstance(name, str) else room
        found = PolicyList(room_id, name, False, actor.name, self._clock.now_ms())

        def work(connection: Connection) -> None:
            known = {each.room_id: each for each in store.lists(connection)}
            if room_id in known and actor == SYSTEM:
                return  # at every start
            store.add_list(connection, found)
            self._note(connection, actor.name, "policy.subscribe", room_id, "done", {"room": room})

        await self._database.write(work)
        await self.reload()
        self.background.wake()
        return found

    async def unsubscribe(self, actor: Actor, room_id: str) -> None:
        """Follow a list no more; who was banned by it alone is let in again.

        Raises:
            NotFound: it is not followed.
        """
        self._authority.require(actor)
        known = {each.room_id: each for each in await self._database.read(store.lists)}
        if room_id not in known or known[room_id].own:
            raise NotFound("no_such_list", "This list is not followed.")
        if room_id in self._subscribed:
            raise Refused("list_configured", "This list stands in the configuration.")

        def work(connection: Connection) -> None:
            store.drop_list(connection, room_id)
            self._note(connection, actor.name, "policy.unsubscribe", room_id, "done")

        await self._database.write(work)
        await self._steward.leave(room_id)
        await self.reload()
        self._look_again()

    # Publishing

    async def published(self, actor: Actor) -> list[Rule]:
        """The rules that Rialto publishes."""
        self._authority.require(actor)

        def read(connection: Connection) -> list[Rule]:
            own = next((each for each in store.lists(connection) if each.own), None)
            return [] if own is None else [each.rule for each in store.rules(connection, own.room_id)]

        return await self._database.read(read)

    async def publish(self, actor: Actor, kind: Kind, entity: str, reason: str = "") -> Rule:
        """Put a rule on our own list, for everybody who follows it; it is obeyed here too.

        Raises:
            Refused: the entity cannot be, or it would ban our own.
        """
        self._authority.require(actor)
        rule = Rule.parse(kind.type, {"entity": entity, "recommendation": "m.ban", "reason": prose(reason)})
        if rule is None or entity != entity.strip():
            raise Refused("entity_invalid", f"A rule is about a user, a room or a server, of {MOST_ENTITY} characters.")
        if not self._followed(rule):
            raise Refused("entity_own", "This rule would ban people of your own.")
        room_id = await self._own(actor)
        key = _state_key(entity)
        await self._steward.set_state(room_id, kind.type, rule.content, key)
        now = self._clock.now_ms()

        def work(connection: Connection) -> None:
            store.set_rule(connection, room_id, kind.type, key, rule, now)
            details = {"kind": kind.value, "entity": entity, "reason": rule.reason}
            self._note(connection, actor.name, "policy.publish", room_id, "done", details)

        await self._database.write(work)
        await self.reload()
        self.background.wake()
        return rule

    async def retract(self, actor: Actor, kind: Kind, entity: str) -> None:
        """Take a rule from our own list; who was banned by it alone is let in again.

        Raises:
            NotFound: it is not on it.
        """
        self._authority.require(actor)
        room_id, key = await self._own(actor), _state_key(entity)
        if await self._database.read(lambda it: store.rule_at(it, room_id, kind.type, key)) is None:
            raise NotFound("no_such_rule", "There is no such rule.")
        await self._steward.set_state(room_id, kind.type, {}, key)

        def work(connection: Connection) -> None:
            store.drop_rule(connection, room_id, kind.type, key)
            self._note(
                connection, actor.name, "policy.retract", room_id, "done", {"kind": kind.value, "entity": entity}
            )

        await self._database.write(work)
        await self.reload()
        self._look_again()

    async def _own(self, actor: Actor) -> str:
        """The room of our own list; made when there is none."""
        known = next((each for each in await self._database.read(store.lists) if each.own), None)
        if known is not None:
            return known.room_id
        steward = self._steward
        body = {
            "preset": "public_chat",
            "name": NAME,
            "topic": "Who is not wanted in the chats of this server, and why.",
            "room_version": ROOM_VERSION,
            "creation_content": {"type": ROOM_TYPE},
            "power_level_content_override": {"users": {steward.user_id: STEWARD}, "events_default": STEWARD},
            "initial_state": [
                {
                    "type": "m.room.history_visibility",
                    "state_key": "",
                    "content": {"history_visibility": "world_readable"},
                }
            ],
        }
        room_id = await steward.create(hidden_alias(steward.user_id, PURPOSE), body)
        await steward.set_alias(room_id, self.alias)
        now = self._clock.now_ms()
        found = PolicyList(room_id, NAME, True, actor.name, now, now)

        def work(connection: Connection) -> None:
            store.add_list(connection, found)
            store.set_read(connection, room_id, now)

        await self._database.write(work)
        await self.reload()
        return room_id

    async def _subscribe_configured(self) -> None:
        """The operator's lists; those that cannot be joined are tried again at the next start."""
        for room in self._configured:
            if room in self._subscribed:
                continue
            try:
                found = await self.subscribe(SYSTEM, room)
                self._subscribed |= {room, found.room_id}
            except Refused as error:
                log.warning("a policy list cannot be followed: %s", error, extra={"list": room})
                self._subscribed.add(room)  # until the next start


def _state_key(entity: str) -> str:
    """Under which a rule stands on our own list, as others write them too."""
    key = f"rule:{entity}"
    return key if len(key.encode()) <= MOST_KEY else f"rule:{sha256(entity.encode()).hexdigest()}"
