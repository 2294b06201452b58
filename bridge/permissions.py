"""Who may do what in a chat: by the role that their power in the room amounts to."""

from __future__ import annotations

from bridge.actor import Actor
from bridge.domain.roles import Role, role_of
from bridge.errors import NotAllowed, NotFound
from bridge.steward import Steward
from bridge.store.chats import Chat


class Permissions:
    """Asked before everything that changes a chat. It asks the homeserver, whose word is never late."""

    def __init__(self, steward: Steward) -> None:
        self._steward = steward

    async def role(self, user_id: str, chat: Chat) -> Role | None:
        """A person's role; None for who is not a member."""
        if await self._steward.membership(chat.room_id, user_id) != "join":
            return None
        return role_of(user_id, await self._steward.power_levels(chat.room_id))

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
