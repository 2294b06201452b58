"""Who may do what in a chat: by the role that their power in the room amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.actor import Actor
from bridge.domain.roles import Role, role_of
from bridge.errors import NotAllowed, NotFound
from bridge.steward import Steward
from bridge.store.chats import Chat


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody may do to somebody else. ``role``: of who asks; ``other``: of whom it is about.

    ``levels``: ``m.room.power_levels``, as both were read from.
    """

    role: Role
    other: Role
    membership: str
    levels: Mapping[str, Any]


class Permissions:
    """Asked before everything that changes a chat. It asks the homeserver, whose word is never late."""

    def __init__(self, steward: Steward) -> None:
        self._steward = steward

    async def role(self, user_id: str, chat: Chat) -> Role | None:
        """A person's role; None for who is not a member."""
        hand = self._steward.of(chat)
        if await hand.membership(chat.room_id, user_id) != "join":
            return None
        return role_of(user_id, await hand.power_levels(chat.room_id))

    async def require(self, actor: Actor, chat: Chat, role: Role) -> Role:
        """Let who has ``role`` at least go on; returns what they have. Products are owners of their own chats.

        Raises:
            NotFound: not a member, another product's chat: to them it does not exist.
            NotAllowed: the role is too low.
        """
        if actor.user_id:
            found = await self.role(actor.user_id, chat)
            if found is None:
                raise NotFound("no_such_chat", "There is no such chat.")
            if found < role:
                raise NotAllowed("role_too_low", f"Only {role.word}s and above may do this.", role=role.word)
            return found
        if actor.product and actor.product != chat.workspace:
            raise NotFound("no_such_chat", "There is no such chat.")
        return Role.OWNER

    async def over(self, actor: Actor, chat: Chat, user_id: str, role: Role) -> Standing:
        """Let who has ``role`` at least do something to a member below them. Nobody's doing reaches the steward.

        Raises:
            NotFound, NotAllowed: as :meth:`require`; and the other's role is not below.
        """
        own = await self.require(actor, chat, role)
        hand = self._steward.of(chat)
        levels = await hand.power_levels(chat.room_id)
        other = role_of(user_id, levels)
        membership = await hand.membership(chat.room_id, user_id)
        if user_id in {hand.user_id, self._steward.user_id}:
            raise NotAllowed("not_the_steward", "That is Rialto itself.")
        if actor.user_id and user_id != actor.user_id and other >= own:
            raise NotAllowed("role_not_above", "Only somebody with a higher role may do this to them.", role=other.word)
        return Standing(own, other, membership, levels)
