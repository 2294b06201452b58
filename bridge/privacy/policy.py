"""What the homeserver's module asks of us, at the listener for the homeserver: ``POST /_rialto/v1/{name}``.

    check     {"check": "invite", "sender", "target", "room_id", "direct", "name"},
              {"check": "call", "sender", "room_id", "members"},
              {"check": "message", "sender", "room_id"}, in chats that are slow
              -> {"allow": true} or {"allow": false, "code", "error"}
    rules     {"users": [...]} -> {"rules": {user: {...}}}
    contact   {"user_id", "other"} -> {}

Other parts of the messenger add checks of their own with :meth:`Policy.add`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from appservice.homeserver import HomeserverError
from appservice.synapse_module import VERSION, Hello, SynapseModule
from bridge.domain.kinds import Kind
from bridge.domain.privacy import Answer
from bridge.privacy.service import PrivacyService
from bridge.registry import Registry

log = logging.getLogger(__name__)

MOST_USERS: Final = 500
MOST_MEMBERS: Final = 20
FIRST_S: Final = 1.0
LONGEST_S: Final = 60.0
AGAIN_S: Final = 300.0
"""Seconds between two calls of the module: one that was started anew must hear of us soon."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the homeserver is to do. ``code`` and ``error`` go to the client whose request is refused."""

    allow: bool
    code: str = ""
    error: str = ""


ALLOW: Final = Decision(True)
ASKED: Final = Decision(False, "message_request", "They have been asked whether they want to hear from you.")
UNWANTED: Final = Decision(False, "not_wanted", "They do not take this from you.")
CALL_UNWANTED: Final = Decision(False, "call_not_wanted", "They do not take calls from you.")

Check = Callable[[Mapping[str, Any]], Awaitable[Decision]]


class BadQuestion(ValueError):
    """The module asks for something else than agreed: another version of it."""


class Policy:
    """Answers the module, and keeps it knowing that we are there."""

    def __init__(self, privacy: PrivacyService, registry: Registry, module: SynapseModule) -> None:
        self._privacy = privacy
        self._registry = registry
        self._module = module
        self._checks: dict[str, list[Check]] = {"invite": [self._invite], "call": [self._call], "contact": []}
        self._task: asyncio.Task[None] | None = None
        self.module: Hello | None = None
        """What the module has said of itself; None as long as there is none."""

    def add(self, name: str, check: Check) -> None:
        """One more check: ``invite``, ``join`` (``sender``, ``room_id``, ``invited``), ``call``, and in chats that are
        slow ``message`` (``sender``, ``room_id``). All must allow.
        """
        self._checks.setdefault(name, []).append(check)

    async def answer(self, name: str, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """Answer one question; None when there is no such.

        Raises:
            BadQuestion: it is not of the agreed shape.
        """
        if name == "check":
            decision = await self.decide(_text(asked, "check"), asked)
            if decision.allow:
                return {"allow": True}
            return {"allow": False, "code": decision.code, "error": decision.error}
        if name == "rules":
            users = _texts(asked, "users", MOST_USERS)
            return {"rules": await self._privacy.rules(users)}
        if name == "contact":
            await self._privacy.became_contacts(_text(asked, "user_id"), _text(asked, "other"))
            return {}
        return None

    async def decide(self, name: str, asked: Mapping[str, Any]) -> Decision:
        """What becomes of something that somebody wants to do: the first that says no counts."""
        for check in self._checks.get(name, ()):
            decision = await check(asked)
            if not decision.allow:
                return decision
        return ALLOW

    async def _invite(self, asked: Mapping[str, Any]) -> Decision:
        room_id, name = _text(asked, "room_id"), _text(asked, "name", empty=True)
        chat = self._registry.get(room_id)
        direct = bool(asked.get("direct")) if chat is None else chat.kind is Kind.DIRECT
        answer = await self._privacy.screen_invite(
            _text(asked, "sender"), _text(asked, "target"), room_id, direct=direct, name=name
        )
        return {Answer.ALLOW: ALLOW, Answer.ASK: ASKED}.get(answer, UNWANTED)

    async def _call(self, asked: Mapping[str, Any]) -> Decision:
        """A call rings at everybody in a small room: between two it is theirs, among more each takes it or not."""
        members = _texts(asked, "members", MOST_MEMBERS)
        if len(members) == 1 and not await self._privacy.may(_text(asked, "sender"), members[0], "call"):
            return CALL_UNWANTED
        return ALLOW

    # Knowing each other

    def start(self) -> None:
        """Say that we are there, and again now and then."""
        if self._task is None:
            self._task = asyncio.create_task(self._greet(), name="module-hello")

    async def stop(self) -> None:
        """End; harmless when it has not begun."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def greet(self) -> Hello | None:
        """Say once that we are there; what the module said.

        Raises:
            HomeserverError: the homeserver did not answer.
        """
        slow = [chat.room_id for chat in self._registry if chat.slow_mode]
        before, self.module = self.module, await self._module.hello(self._checks, slow)
        if self.module is None and before is None:
            log.info("the homeserver has no module of Rialto: privacy settings hold in Rialto's own chats only")
        elif self.module is not None and self.module.version != VERSION:
            log.warning("the homeserver's module of Rialto is of version %d, not %d", self.module.version, VERSION)
        return self.module

    async def _greet(self) -> None:
        pause = FIRST_S
        while True:
            try:
                await self.greet()
                pause = AGAIN_S
            except HomeserverError as error:
                log.debug("the homeserver's module does not answer: %s", error.errcode)
                pause = min(pause * 2, LONGEST_S)
            except Exception:
                # A task that ends would leave settings unenforced until the next start.
                log.exception("the homeserver's module could not be greeted")
                pause = LONGEST_S
            await asyncio.sleep(pause)


def _text(asked: Mapping[str, Any], name: str, *, empty: bool = False) -> str:
    value = asked.get(name, "" if empty else None)
    if not isinstance(value, str) or not (value or empty) or "\0" in value:
        raise BadQuestion(f"{name} is missing or no text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadQuestion(f"{name} is no text") from None
    return value


def _texts(asked: Mapping[str, Any], name: str, most: int) -> list[str]:
    values = asked.get(name)
    if not isinstance(values, list) or len(values) > most:
        raise BadQuestion(f"{name} is a list of {most} at most")
    return [_text({name: value}, name) for value in values]
