"""A person with a Matrix client: matrix-nio with end-to-end encryption, and expectations that listen before one acts.

reply = alice.expect(room, sender=BOT)      # listens from here
await alice.say(room, "hello")
assert "hello" in (await reply).body
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Self

from appservice.terminal.client import ClientError, Login, MatrixClient, Seen

__all__ = ["ClientError", "Expectation", "Human", "Seen"]

TIMEOUT = 20.0
Predicate = Callable[[Seen], bool]


class Expectation:
    """Waits for one event, listening since it was made; ``await`` gives it, or AssertionError with what came."""

    def __init__(self, human: Human, room_id: str | None, description: str, wanted: Predicate, timeout: float) -> None:
        self._human = human
        self._room_id = room_id
        self._description = description
        self._wanted = wanted
        self._timeout = timeout
        self._instead: list[str] = []
        self._found: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        human.listeners.append(self._listen)

    def _listen(self, seen: Seen) -> None:
        if self._found.done() or (self._room_id is not None and seen.room_id != self._room_id):
            return
        if self._wanted(seen):
            self._found.set_result(seen)
            self.cancel()
        else:
            self._instead.append(f"{seen.sender} {seen.type} {seen.body[:80]!r}")

    @property
    def met(self) -> bool:
        """Whether the event has come."""
        return self._found.done() and not self._found.cancelled()

    def cancel(self) -> None:
        """Stop listening."""
        if self._listen in self._human.listeners:
            self._human.listeners.remove(self._listen)

    async def never(self, within: float) -> None:
        """Assert that the event does not come within ``within`` seconds from now."""
        try:
            async with asyncio.timeout(within):
                seen = await asyncio.shield(self._found)
        except TimeoutError:
            self.cancel()
            return
        raise AssertionError(f"{self._human.id} was not to see {self._description}, but saw {seen}")

    async def _wait(self) -> Seen:
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(self._found)
        except TimeoutError:
            instead = "\n  ".join(self._instead) or "nothing"
            raise AssertionError(
                f"{self._human.id} waited {self._timeout:g} s for {self._description}; what came instead:\n  {instead}"
            ) from None
        finally:
            self.cancel()

    def __await__(self) -> Generator[Any, None, Seen]:
        return self._wait().__await__()


class Human(MatrixClient):
    """A user of the homeserver under test, on one device."""

    password: str = ""

    @classmethod
    async def log_in(cls, url: str, user_id: str, password: str, store: Path, device_id: str | None = None) -> Self:
        """Log in as a new device and start syncing. ``store`` must be an empty or missing folder."""
        human = cls(url, user_id, store, device_id=device_id)
        human.password = password
        try:
            await human.login(password, "test")
            await human.start()
        except BaseException:
            await human.close()
            raise
        return human

    async def second_device(self, store: Path) -> Human:
        """Another device of the same user, logged in and syncing; the caller closes it."""
        return await type(self).log_in(self.url, self.id, self.password, store)

    def credentials(self) -> Login:
        """What another process needs to go on as this device."""
        return Login(self.id, self.device_id, str(self.nio.access_token))

    def expect(
        self,
        room_id: str | None,
        *,
        sender: str | None = None,
        type: str | None = "m.room.message",
        body: str | None = None,
        contains: str | None = None,
        predicate: Predicate | None = None,
        timeout: float = TIMEOUT,
    ) -> Expectation:
        """Listen from now on for the first event of a room that fits everything given. ``type=None``: any type.

        Own messages never fit unless ``sender`` names oneself. An encrypted event fits once it is decrypted.
        """

        def wanted(seen: Seen) -> bool:
            return (
                (seen.sender == sender if sender is not None else seen.sender != self.id)
                and (type is None or seen.type == type)
                and (body is None or seen.body == body)
                and (contains is None or contains in seen.body)
                and (predicate is None or predicate(seen))
            )

        facts = {"room": room_id, "sender": sender, "type": type, "body": body, "contains": contains}
        description = ", ".join(f"{key}={value!r}" for key, value in facts.items() if value is not None)
        return Expectation(self, room_id, description, wanted, timeout)

    def expect_member(
        self, room_id: str, user_id: str, membership: str = "join", timeout: float = TIMEOUT
    ) -> Expectation:
        """Listen for a change of somebody's membership."""

        def wanted(seen: Seen) -> bool:
            return (
                seen.type == "m.room.member"
                and seen.state_key == user_id
                and seen.content.get("membership") == membership
            )

        return Expectation(self, room_id, f"{membership} of {user_id}", wanted, timeout)

    async def expect_invite(self, sender: str | None = None, timeout: float = TIMEOUT) -> str:
        """Wait for an invitation, one that has come already too; the room's id."""

        def invited() -> list[str]:
            return [
                room_id for room_id, room in self.nio.invited_rooms.items() if sender is None or room.inviter == sender
            ]

        await self.until(lambda: bool(invited()), timeout, f"an invitation from {sender or 'anybody'}")
        return invited()[0]

    async def chat_with(self, bot: str, *, encrypted: bool = True, name: str | None = None) -> str:
        """A new direct room with ``bot`` in which it has joined; the room's id."""
        room_id = await self.create_room(name, encrypted=encrypted, direct=True)
        joined = self.expect_member(room_id, bot)
        await self.invite(room_id, bot)
        await joined
        return room_id

    async def ask(self, room_id: str, text: str, *, of: str, timeout: float = TIMEOUT) -> Seen:
        """Say ``text`` and wait for the next message of user ``of``."""
        reply = self.expect(room_id, sender=of, timeout=timeout)
        await self.say(room_id, text)
        return await reply
