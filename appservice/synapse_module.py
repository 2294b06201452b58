"""Rialto's side of its module in Synapse (:mod:`appservice.local.rialto_synapse`), at ``/_rialto/v1`` of both.

We call the module with the application service's token, it calls us with the homeserver's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from appservice.homeserver import Homeserver, HomeserverError

PREFIX: Final = "/_rialto/v1"
VERSION: Final = 1
ENFORCED: Final = frozenset({"receipts", "presence", "redactions"})
"""What the module can do beyond Synapse's module API, where it knows the release."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What the module said of itself.

    Attributes:
        enforces: of :data:`ENFORCED`, what it does.
        when_away: ``allow`` or ``deny``: what happens to invitations while we do not answer.
    """

    version: int
    enforces: tuple[str, ...]
    when_away: str


class SynapseModule:
    """Calls the module. A homeserver without it answers None."""

    def __init__(self, homeserver: Homeserver) -> None:
        self._homeserver = homeserver

    async def hello(self, checks: Iterable[str] | None = None, slow: Iterable[str] | None = None) -> Hello | None:
        """Say that we are there; None when there is no module.

        Args:
            checks: what we want to be asked from now on; what it was before unless told.
            slow: the rooms in which people have to wait between two messages; as before unless told.

        Raises:
            HomeserverError: it could not be asked.
        """
        given = {"checks": checks, "slow": slow}
        answer = await self._call("hello", {key: sorted(names) for key, names in given.items() if names is not None})
        if answer is None:
            return None
        enforces = answer.get("enforces")
        return Hello(
            int(answer.get("version", 0)),
            tuple(str(what) for what in enforces) if isinstance(enforces, list) else (),
            str(answer.get("when_away", "")),
        )

    async def forget(self, users: Iterable[str]) -> None:
        """The rules of these people have changed."""
        await self._call("forget", {"users": list(users)})

    async def invite(self, sender: str, target: str, room_id: str, *, direct: bool) -> bool:
        """Have somebody of our homeserver invite somebody, as they wanted to; False when there is no module.

        Nothing happens to who is in the room or invited already.

        Raises:
            HomeserverError: also when ``sender`` may not (any more).
        """
        body = {"sender": sender, "target": target, "room_id": room_id, "direct": direct}
        return await self._call("invite", body) is not None

    async def ignore(self, user_id: str, other: str, ignored: bool) -> bool:
        """Put somebody on a person's ignore list (``m.ignored_user_list``) or take them off; False without a module."""
        return await self._call("ignore", {"user_id": user_id, "other": other, "ignored": ignored}) is not None

    async def login_token(self, user_id: str, valid_ms: int) -> str | None:
        """A token with which a device of an account logs in once; None when there is no module."""
        answer = await self._call("login_token", {"user_id": user_id, "valid_ms": valid_ms})
        return None if answer is None else str(answer["login_token"])

    async def _call(self, name: str, body: dict[str, Any]) -> dict[str, Any] | None:
        try:
            answer = await self._homeserver.request("POST", f"{PREFIX}/{name}", body=body)
        except HomeserverError as error:
            if error.status in {404, 405} and error.errcode in {"M_UNRECOGNIZED", "UNKNOWN"}:
                return None  # nobody is at this address
            raise
        return answer if isinstance(answer, dict) else {}
