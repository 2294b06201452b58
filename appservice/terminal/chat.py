"""``rialto chat``: a conversation on a terminal, or with a script on standard input.

With a script each line is sent, then its reply is awaited: until nothing new came for QUIET seconds after the first
message of somebody else, at most ``reply`` seconds. After the last line, ``wait`` seconds of quiet end it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from appservice.terminal.client import ClientError, MatrixClient, Seen
from appservice.terminal.prompt import Prompt
from appservice.terminal.session import ChatError, Place, find_room
from appservice.terminal.text import one_line, safe

QUIET = 0.4
GREETING = 2.0
COMMENT = re.compile(r"#\s")
HELP = "/rooms  the rooms you are in     /image PATH  send an image     /join ROOM  talk there     /quit  leave"


@dataclass(frozen=True)
class Timing:
    """How a script is played. ``reply``: seconds that a reply may take; ``wait``: seconds of quiet at the end."""

    reply: float = 15.0
    wait: float = 1.0


class Chat:
    """One conversation: shows what comes in the room, sends what is typed."""

    def __init__(
        self, client: MatrixClient, place: Place, *, console: Console, trusted: Callable[[str], bool] | None = None
    ) -> None:
        self._client = client
        self._room_id = place.room_id
        self._fresh = place.fresh
        self._console = console
        self._trusted = trusted or (lambda _: False)
        self._last = 0.0
        self._news = asyncio.Event()
        self._received = 0
        self._own: set[str] = set()
        self._shown: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._prompt: Prompt | None = None
        if place.fresh:
            self._catch_up()
        client.listeners.append(self._listen)
        client.invite_listeners.append(self._invited)

    # -------------------------------------------------------------- incoming

    def _listen(self, seen: Seen) -> None:
        mine = seen.sender == self._client.id
        if seen.room_id != self._room_id or seen.event_id in self._shown:
            return
        if not seen.readable:
            return  # comes again when its key is here
        if line := self._line(seen):
            self._shown.add(seen.event_id)
            if not (mine and seen.event_id in self._own):
                self._show(seen.sender, line)
            if not mine:
                self._received += 1
                self._last = asyncio.get_running_loop().time()
                self._news.set()

    def _catch_up(self) -> None:
        """Show what others said before we listened."""
        for seen in list(self._client.history):
            if seen.sender != self._client.id:
                self._listen(seen)

    def _line(self, seen: Seen) -> str:
        """What a person reads of an event; empty for events that say nothing."""
        if seen.type == "m.room.message":
            body = safe(seen.body)
            if seen.replaces:
                return f"(edited) {body}"
            if seen.msgtype in {"m.image", "m.file", "m.audio", "m.video"}:
                return f"[{seen.msgtype.removeprefix('m.')}: {body}]"
            return f"* {body}" if seen.msgtype == "m.emote" else body
        if seen.type == "m.reaction":
            return f"reacts with {one_line(str(seen.relation.get('key', '')))}"
        if seen.type == "m.room.redaction":
            return "removed a message"
        return ""

    def _show(self, sender: str, line: str) -> None:
        room = self._client.rooms.get(self._room_id)
        name = one_line(room.user_name(sender) or sender) if room is not None else sender
        text = Text()
        text.append(f"{name}: ", style="bold cyan")
        text.append(line)
        self._print(text)

    def _print(self, text: Text) -> None:
        with self._prompt.aside() if self._prompt is not None else contextlib.nullcontext():
            self._console.print(text, soft_wrap=True)

    def _note(self, text: str) -> None:
        self._print(Text(f"· {text}", style="dim"))

    def _invited(self, room_id: str, sender: str) -> None:
        """Follow the invitations of our server's bots (spaces, chats of services); tell about those of others."""
        if not self._trusted(sender):
            self._note(f"{one_line(sender)} invites you: /join {one_line(room_id)}")
            return
        task = asyncio.get_running_loop().create_task(self._accept(room_id, sender))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, room_id: str, sender: str) -> None:
        try:
            await self._client.join(room_id)
        except (ClientError, TimeoutError) as error:
            self._note(f"could not follow the invitation of {one_line(sender)}: {error}")
            return
        self._note(f"{one_line(sender)} invited you to {self._title(room_id)}")

    async def accept_waiting(self) -> None:
        """Follow the invitations that came while we were away."""
        for room_id, room in list(self._client.nio.invited_rooms.items()):
            self._invited(room_id, str(room.inviter))
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=10)

    # -------------------------------------------------------------- outgoing

    async def enter(self, line: str) -> bool:
        """What somebody typed; False when the conversation is over. Raises ClientError."""
        command, _, rest = line.strip().partition(" ")
        if not command:
            return True
        if not line.startswith("/") or line.startswith("//"):
            text = line[1:] if line.startswith("//") else line
            self._own.add(await self._client.say(self._room_id, text))
            return True
        return await self._command(command, rest.strip())

    async def _command(self, command: str, rest: str) -> bool:
        if command == "/quit":
            return False
        if command == "/rooms":
            self._rooms()
        elif command == "/image":
            await self._image(rest)
        elif command == "/join" and rest:
            self._room_id = (await find_room(self._client, rest)).room_id
            self._note(f"you talk in {self._title(self._room_id)} now")
        else:
            self._note(HELP)
        return True

    def _rooms(self) -> None:
        for room_id, room in self._client.rooms.items():
            here = "→" if room_id == self._room_id else " "
            kind = "space" if room.room_type == "m.space" else "encrypted" if room.encrypted else "open"
            self._print(Text(f"{here} {room_id}  {kind:<9}  {self._title(room_id)}"))

    async def _image(self, name: str) -> None:
        path = Path(name)
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            self._note(f"{name}: {error.strerror or error}")
            return
        self._own.add(await self._client.send_image(self._room_id, data, path.name))

    def _title(self, room_id: str) -> str:
        room = self._client.rooms.get(room_id)
        return room_id if room is None else one_line(room.display_name or room_id)

    # ------------------------------------------------------------ two ways

    async def script(self, lines: AsyncIterator[str], timing: Timing, *, echo: bool = False) -> bool:
        """Play a script; whether every line that asked for a reply got one."""
        answered = True
        if self._fresh:
            await self._greeting()
        async for line in lines:
            if COMMENT.match(line):
                continue
            if echo:
                self._print(Text(f"> {line}", style="bold"))
            before = self._received
            self._news.clear()
            if not await self.enter(line):
                return answered
            if line.strip() and not (line.startswith("/") and not line.startswith("/image")):
                answered = await self._reply(before, timing.reply) and answered
        await self._quiet(timing.wait)
        return answered

    async def _greeting(self) -> None:
        """A new chat may begin with a greeting: let it come first, so that it is not taken for the first reply."""
        if self._received == 0:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GREETING):
                    await self._news.wait()
        await self._quiet(QUIET)

    async def _reply(self, before: int, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                while self._received == before:
                    self._news.clear()
                    await self._news.wait()
                await self._quiet(QUIET)
        except TimeoutError:
            if self._received == before:
                self._note(f"no reply within {timeout:g} s")
                return False
        return True

    async def _quiet(self, seconds: float) -> None:
        """Wait until nothing came for ``seconds``."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while (left := max(self._last, begin) + seconds - loop.time()) > 0:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()

    async def talk(self, prompt: Prompt) -> None:
        """A person at a terminal, until /quit or the end of input (Ctrl-D)."""
        self._prompt = prompt
        self._note(f"you talk in {self._title(self._room_id)}, as {self._client.id}")
        self._note(HELP)
        self._catch_up()
        async for line in prompt.lines():
            try:
                if not await self.enter(line):
                    return
            except (ClientError, ChatError, TimeoutError) as error:
                self._note(str(error))


async def read_lines(source: TextIO) -> AsyncIterator[str]:
    """The lines of a pipe, without blocking the loop; of a file, whose reading never waits, just its lines."""
    mode = os.fstat(source.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        for line in source:
            yield line.rstrip("\r\n")
        return
    reader = asyncio.StreamReader(limit=1024 * 1024)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), source
    )
    try:
        while raw := await reader.readline():
            yield raw.decode("utf-8", errors="replace").rstrip("\r\n")
    finally:
        transport.close()


async def lines_of(texts: list[str]) -> AsyncIterator[str]:
    """A script that is in memory."""
    for text in texts:
        yield text


def console(stream: TextIO = sys.stdout) -> Console:
    """Where the conversation is shown."""
    return Console(file=stream, highlight=False, markup=False, emoji=False)
