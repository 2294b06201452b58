"""Who decides about reports: the moderators of the configuration, a product in its own chats, and operators."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.actor import Actor
from bridge.errors import NotAllowed, NotFound


class Authority:
    """Asked before everything that moderators do."""

    def __init__(self, moderators: Iterable[str]) -> None:
        self.moderators = tuple(dict.fromkeys(moderators))

    def is_moderator(self, user_id: str) -> bool:
        """Whether a person is one."""
        return user_id in self.moderators

    def require(self, actor: Actor) -> None:
        """Let who decides about everything go on.

        Raises:
            NotAllowed: it is nobody who does.
        """
        if actor.product or (actor.user_id and not self.is_moderator(actor.user_id)):
            raise NotAllowed("not_a_moderator", "Only moderators do this.")

    def workspace(self, actor: Actor) -> str | None:
        """Whose reports somebody sees: a product's its own, None for all.

        Raises:
            NotAllowed: somebody who decides nothing.
        """
        if actor.product:
            return actor.product
        self.require(actor)
        return None

    def over(self, actor: Actor, workspace: str) -> None:
        """Let who decides about a workspace's reports go on.

        Raises:
            NotAllowed: a person who is no moderator.
            NotFound: another product's: to this one it does not exist.
        """
        if actor.product and actor.product != workspace:
            raise NotFound("no_such_report", "There is no such report.")
        if not actor.product:
            self.require(actor)
