"""The encrypted peer: an echo bot on mautrix-python's own client, syncer and ``OlmMachine``, logged in as a user.

It hears of events by its own /sync, not by transactions: another way than an application service's, and a shorter one.

``python -m benchmarks.peers.mautrix_client_echo --homeserver URL --user ID --password PASSWORD``
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal

from mautrix.client import Client
from mautrix.client.state_store import MemoryStateStore
from mautrix.crypto import MemoryCryptoStore, OlmMachine
from mautrix.crypto import StateStore as CryptoStateStore
from mautrix.types import (
    EventType,
    Membership,
    MessageEvent,
    MessageType,
    PresenceState,
    RoomEncryptionStateEventContent,
    RoomID,
    StateEvent,
    StrippedStateEvent,
    TrustState,
    UserID,
)


class Rooms(CryptoStateStore):
    """What the OlmMachine asks about rooms, from the client's own store."""

    def __init__(self, store: MemoryStateStore) -> None:
        self._store = store

    async def is_encrypted(self, room_id: RoomID) -> bool:
        return bool(await self._store.is_encrypted(room_id))

    async def get_encryption_info(self, room_id: RoomID) -> RoomEncryptionStateEventContent | None:
        return await self._store.get_encryption_info(room_id)

    async def find_shared_rooms(self, user_id: UserID) -> list[RoomID]:
        return [room_id for room_id, members in self._store.members.items() if user_id in members]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--homeserver", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    return parser.parse_args()


async def _main(options: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.WARNING)
    store = MemoryStateStore()
    keys = MemoryCryptoStore(options.user, "the pickle key of a benchmark")
    client = Client(mxid=UserID(options.user), base_url=options.homeserver, state_store=store, sync_store=keys)
    await client.login(identifier=options.user, password=options.password, device_name="peer")
    machine = OlmMachine(client, keys, Rooms(store))
    machine.send_keys_min_trust = TrustState.UNVERIFIED
    client.crypto = machine
    await machine.load()
    await keys.put_device_id(client.device_id)
    await machine.share_keys()

    async def echo(event: MessageEvent) -> None:
        if event.sender != client.mxid and event.content.msgtype == MessageType.TEXT:
            await client.send_text(event.room_id, event.content.body)

    async def invited(event: StateEvent | StrippedStateEvent) -> None:
        content = event.content
        if event.state_key == client.mxid and getattr(content, "membership", None) == Membership.INVITE:
            await client.join_room(event.room_id)

    client.add_event_handler(EventType.ROOM_MESSAGE, echo)
    client.add_event_handler(EventType.ROOM_MEMBER, invited)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client.ignore_initial_sync = False
    client.presence = PresenceState.OFFLINE
    client.start(None)
    print("ready", flush=True)
    await stop.wait()
    client.stop()
    await client.api.session.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main(_arguments()))
