"""What people's own settings say about being written to and added."""

from __future__ import annotations

from typing import Protocol

from bridge.errors import NotAllowed


class Consent(Protocol):
    """The privacy service, as far as chats ask it."""

    async def may(self, user_id: str, other: str, what: str) -> bool:
        """Whether ``user_id`` may do something to ``other``: ``write`` to them first, ``add`` them to a chat."""


class Everybody:
    """Where there is no privacy service everything is allowed."""

    async def may(self, user_id: str, other: str, what: str) -> bool:
        """Yes."""
        return True


async def ask(consent: Consent, user_id: str, other: str, what: str) -> None:
    """Go on if the other's settings allow it.

    Raises:
        NotAllowed: they do not. The words do not say whether somebody is blocked.
    """
    if user_id == other or not user_id or await consent.may(user_id, other, what):
        return
    if what == "add":
        raise NotAllowed("not_addable", "They do not want to be added; send them an invite link.", user=other)
    raise NotAllowed("not_writable", "They do not want to be written to first.", user=other)
