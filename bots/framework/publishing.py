"""Tells the homeserver what a bot looks like and what it understands: name, picture, description, commands.

Everything is looked at first and written only when it differs, in the background, and nothing of it is needed for a bot
to answer. What was published lies in the account data of the bot, so that a restart does not look into every room.

The description is the profile field :data:`DESCRIPTION_FIELD` (specification 1.16, "Profiles": custom fields; MSC4133);
homeservers without it are left alone. Commands are state events of MSC4391, see :mod:`bots.framework.commands`, where
the bot has the power to set them: in its own direct chats, and in groups that let it.
"""

from __future__ import annotations

import asyncio
import logging
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from appservice import json
from appservice.homeserver import Homeserver, HomeserverError, path
from appservice.media import Media
from appservice.media.errors import MediaError
from bots.framework.bot import BotUser
from bots.framework.commands import DESCRIPTION_TYPE, description_state_key

log = logging.getLogger(__name__)

DESCRIPTION_FIELD: Final = "im.rialto.description"
"""The profile field of the description."""
PUBLISHED: Final = "im.rialto.published"
"""The account data that remembers what was published."""
RETRY_S: Final = 30.0
FEW: Final = 20
"""So many rooms are looked into at once; the others slowly, for people's messages come first."""
PAUSE_S: Final = 0.25
SOON_S: Final = 2.0
_NO_MATTER: Final = frozenset({400, 403, 404, 405})


@dataclass(frozen=True, slots=True)
class Appearance:
    """What a bot looks like. ``avatar``: the path of a file, or ``mxc://…``, or nothing."""

    user_id: str
    display_name: str
    description: str = ""
    avatar: str = ""


class Publisher:
    """Publishes the bots, and their commands in rooms that they come into."""

    def __init__(self, homeserver: Homeserver, media: Media) -> None:
        self._homeserver = homeserver
        self._media = media
        self._wanted: asyncio.Queue[tuple[BotUser, str]] = asyncio.Queue(10_000)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, bots: Mapping[str, tuple[BotUser, Appearance]]) -> None:
        """Publish everything in the background, when what has waited for the service is answered."""
        self._tasks.append(asyncio.create_task(self._all(bots, after=SOON_S), name="publish-bots"))
        self._tasks.append(asyncio.create_task(self._rooms(), name="publish-commands"))

    def again(self, bots: Mapping[str, tuple[BotUser, Appearance]]) -> None:
        """Publish these in the background."""
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(self._all(bots), name="publish-bots"))

    async def stop(self) -> None:
        """What is not published is at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def joined(self, bot: BotUser, room_id: str) -> None:
        """A bot has come into a room."""
        if not self._wanted.full():
            self._wanted.put_nowait((bot, room_id))

    async def publish(self, bot: BotUser, appearance: Appearance) -> None:
        """Publish one bot.

        Raises:
            HomeserverError: not now.
        """
        remembered = await self._remembered(bot.user_id)
        now = dict(remembered)
        await self._profile(appearance, now)
        contents = _contents(bot)
        digest = sha256(json.dumps([[key, contents[key]] for key in sorted(contents)])).hexdigest()
        old = remembered.get("commands") if isinstance(remembered.get("commands"), dict) else {}
        assert isinstance(old, dict)
        if old.get("digest") != digest:
            gone: dict[str, dict[str, Any]] = {str(key): {} for key in old.get("keys", ()) if key not in contents}
            await self._everywhere(bot, {**gone, **contents})
            now["commands"] = {"digest": digest, "keys": sorted(contents)}
        if now != remembered:
            await self._request("PUT", self._account_data(bot.user_id), bot.user_id, now)

    async def _all(self, bots: Mapping[str, tuple[BotUser, Appearance]], after: float = 0) -> None:
        await asyncio.sleep(after)
        for bot, appearance in bots.values():
            while True:
                try:
                    await self.publish(bot, appearance)
                except HomeserverError as error:
                    if error.temporary:
                        await asyncio.sleep(error.retry_after or RETRY_S)
                        continue
                    log.warning("a bot's profile is not published: %s", error, extra={"bot": bot.user_id})
                except (MediaError, OSError) as error:
                    log.warning("a bot's picture is not published: %s", error, extra={"bot": bot.user_id})
                break

    async def _rooms(self) -> None:
        while True:
            bot, room_id = await self._wanted.get()
            try:
                await self._in_room(bot, room_id, _contents(bot))
            except HomeserverError as error:
                log.debug("commands are not published in a room: %s", error, extra={"room_id": room_id})

    async def _remembered(self, user_id: str) -> dict[str, Any]:
        try:
            found = await self._request("GET", self._account_data(user_id), user_id)
        except HomeserverError as error:
            if error.status != 404:
                raise
            return {}
        return found if isinstance(found, dict) else {}

    async def _profile(self, wanted: Appearance, now: dict[str, Any]) -> None:
        user_id = wanted.user_id
        profile = await self._request("GET", path("/_matrix/client/v3/profile", user_id), user_id)
        profile = profile if isinstance(profile, dict) else {}
        if profile.get("displayname") != wanted.display_name:
            await self._field(user_id, "displayname", wanted.display_name)
        if wanted.avatar:
            uri = await self._avatar(wanted, now)
            if uri and profile.get("avatar_url") != uri:
                await self._field(user_id, "avatar_url", uri)
        if wanted.description and profile.get(DESCRIPTION_FIELD) != wanted.description:
            try:
                await self._field(user_id, DESCRIPTION_FIELD, wanted.description)
            except HomeserverError as error:
                if error.status not in _NO_MATTER:
                    raise
                log.debug("the homeserver keeps no such field of a profile: %s", error)

    async def _avatar(self, wanted: Appearance, now: dict[str, Any]) -> str:
        """The picture's address; a file is uploaded once for its content."""
        if wanted.avatar.startswith("mxc://"):
            return wanted.avatar
        file = Path(wanted.avatar)
        data = await asyncio.to_thread(file.read_bytes)
        digest = sha256(data).hexdigest()
        known = now.get("avatar")
        if isinstance(known, dict) and known.get("sha256") == digest and isinstance(known.get("uri"), str):
            return str(known["uri"])
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        stored = await self._media.upload(wanted.user_id, data, kind, encrypted=False)
        uri = str(stored.content["url"])
        now["avatar"] = {"sha256": digest, "uri": uri}
        # Kept at once: what comes after it may fail, and must not upload it again.
        await self._request("PUT", self._account_data(wanted.user_id), wanted.user_id, now)
        return uri

    async def _field(self, user_id: str, name: str, value: str) -> None:
        url = path("/_matrix/client/v3/profile", user_id, name)
        await self._request("PUT", url, user_id, {name: value})

    async def _everywhere(self, bot: BotUser, contents: Mapping[str, Mapping[str, Any]]) -> None:
        answer = await self._request("GET", "/_matrix/client/v3/joined_rooms", bot.user_id)
        rooms = [room for room in answer.get("joined_rooms", ()) if isinstance(room, str)]
        for number, room_id in enumerate(rooms):
            if number >= FEW:
                await asyncio.sleep(PAUSE_S)
            await self._in_room(bot, room_id, contents)

    async def _in_room(self, bot: BotUser, room_id: str, contents: Mapping[str, Mapping[str, Any]]) -> None:
        for key, content in contents.items():
            try:
                url = path("/_matrix/client/v3/rooms", room_id, "state", DESCRIPTION_TYPE, key)
                try:
                    there = await self._request("GET", url, bot.user_id)
                except HomeserverError as error:
                    if error.status != 404:
                        raise
                    there = {}
                if there != content:
                    await self._homeserver.send_state(bot.user_id, room_id, DESCRIPTION_TYPE, key, content)
            except HomeserverError as error:
                if error.status not in _NO_MATTER:
                    raise
                return  # the bot has no power there, or has left

    def _account_data(self, user_id: str) -> str:
        return path("/_matrix/client/v3/user", user_id, "account_data", PUBLISHED)

    async def _request(self, method: str, url: str, user_id: str, body: Any = None) -> Any:
        return await self._homeserver.request(method, url, user_id=user_id, body=body)


def _contents(bot: BotUser) -> dict[str, dict[str, Any]]:
    """The commands' descriptions by state key."""
    return {
        description_state_key(str(content["command"]), bot.user_id): content for content in bot.commands.descriptions()
    }
