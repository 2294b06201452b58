"""Who the terminal client is: its login and keys, kept in the data folder; and which room it talks in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from appservice.errors import RialtoError
from appservice.local.files import private_folder, read_json, write_private_json
from appservice.terminal.client import ClientError, Login, MatrixClient

SESSION = "session.json"
DIRECT = "m.direct"
JOIN_TIMEOUT = 30.0


class ChatError(RialtoError):
    """The chat cannot go on; ``human`` says why."""

    code = "chat"


async def connect(url: str, user_id: str, password: str, folder: Path) -> MatrixClient:
    """A client of ``user_id``: the device of the last time if it still exists, else a new one. Raises ClientError."""
    private_folder(folder)
    kept = read_json(folder / SESSION)
    if isinstance(kept, dict) and kept.get("url") == url:
        client = MatrixClient(url, user_id, folder / "keys")
        try:
            client.restore(Login(**kept["login"]))
            await client.start()
        except ClientError as error:
            await client.close()
            if error.fields.get("status") not in {401, 403}:
                raise
        except BaseException:
            await client.close()
            raise
        else:
            return client
    return await _log_in(url, user_id, password, folder)


async def _log_in(url: str, user_id: str, password: str, folder: Path) -> MatrixClient:
    keys = folder / "keys"
    for old in keys.glob("*") if keys.is_dir() else ():
        old.unlink()  # the keys of a device that is gone
    client = MatrixClient(url, user_id, keys)
    try:
        login = await client.login(password, "rialto chat")
        write_private_json(folder / SESSION, {"url": url, "login": asdict(login)})
        await client.start()
    except BaseException:
        await client.close()
        raise
    return client


@dataclass(frozen=True)
class Place:
    """A room to talk in. ``fresh``: it was opened just now, and a greeting may come."""

    room_id: str
    fresh: bool = False


async def find_room(client: MatrixClient, target: str, timeout: float = JOIN_TIMEOUT) -> Place:
    """The room that ``target`` means: a room id, an alias, or a user, with whom a direct chat is found or opened.

    Raises ChatError when the user does not come, ClientError when the homeserver refuses.
    """
    if target.startswith("!"):
        return Place(target if target in client.rooms else await client.join(target))
    if target.startswith("#"):
        return Place(await client.join(target))
    if not target.startswith("@"):
        raise ChatError(f"{target!r} is neither a user (@name:server), a room (!id) nor an alias (#name:server)")
    return await direct_chat(client, target, timeout)


async def direct_chat(client: MatrixClient, user_id: str, timeout: float = JOIN_TIMEOUT) -> Place:
    """The encrypted direct chat with ``user_id``, opened when there is none that both are in. Raises ChatError."""
    directs = await direct_rooms(client)
    both = {client.id, user_id}
    known = [room for room in reversed(directs.get(user_id, [])) if room in client.rooms]
    # A bot that opened the chat itself made a room for two that m.direct does not name.
    for_two = [room for room in client.rooms if _joined(client, room) == both and not client.rooms[room].room_type]
    for room_id in dict.fromkeys([*known, *for_two]):
        if client.rooms[room_id].encrypted and user_id in await client.members(room_id):
            return Place(room_id)
    room_id = await client.create_room(direct=True, encrypted=True)
    directs.setdefault(user_id, []).append(room_id)
    path = f"/_matrix/client/v3/user/{quote(client.id, safe='')}/account_data/{DIRECT}"
    await client.request("PUT", path, body=directs)
    try:
        await client.invite(room_id, user_id)
        await client.until(lambda: user_id in _joined(client, room_id), timeout, f"{user_id} to join")
    except TimeoutError:
        await client.leave(room_id)
        raise ChatError(f"{user_id} did not come within {timeout:g} s: is it running? `rialto status`") from None
    except ClientError as error:
        await client.leave(room_id)
        raise ChatError(f"{user_id} cannot be invited: {error.human}") from error
    return Place(room_id, fresh=True)


def _joined(client: MatrixClient, room_id: str) -> set[str]:
    room = client.rooms.get(room_id)
    if room is None:
        return set()
    return {user for user in room.users if user not in room.invited_users}


async def direct_rooms(client: MatrixClient) -> dict[str, list[str]]:
    """``m.direct`` of this account: the rooms by user."""
    path = f"/_matrix/client/v3/user/{quote(client.id, safe='')}/account_data/{DIRECT}"
    try:
        value: dict[str, Any] = await client.request("GET", path)
    except ClientError as error:
        if error.fields.get("status") == 404:
            return {}
        raise
    return {
        user: [room for room in rooms if isinstance(room, str)]
        for user, rooms in value.items()
        if isinstance(rooms, list)
    }
