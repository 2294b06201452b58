"""The encrypted peer in appservice mode: what mautrix-python's bridges do, made an echo bot.

Room events come by transactions; a device of the bot, with an ``OlmMachine``, hears its to-device messages by a /sync
whose filter leaves the rooms out; answers are encrypted for the room's devices.

``python -m benchmarks.peers.mautrix_encrypted_echo`` with the arguments of ``benchmarks.peers.mautrix_echo``
"""

from __future__ import annotations

import logging

from mautrix.appservice import AppService
from mautrix.appservice.state_store import FileASStateStore
from mautrix.client import Client
from mautrix.crypto import MemoryCryptoStore, OlmMachine
from mautrix.errors import SessionNotFound
from mautrix.types import (
    EncryptedEvent,
    Event,
    EventFilter,
    EventType,
    Filter,
    Membership,
    MemberStateEventContent,
    MessageEvent,
    MessageType,
    PresenceState,
    RoomEventFilter,
    RoomFilter,
    RoomID,
    StateEvent,
    StateFilter,
    TextMessageEventContent,
    TrustState,
    UserID,
)

from benchmarks.peers.mautrix_client_echo import Rooms
from benchmarks.peers.mautrix_echo import arguments, running_until_told


def _to_device_only() -> Filter:
    everything = EventType.find("*")
    return Filter(
        account_data=EventFilter(types=[everything]),
        presence=EventFilter(not_types=[everything]),
        room=RoomFilter(
            include_leave=False,
            state=StateFilter(not_types=[everything]),
            timeline=RoomEventFilter(not_types=[everything]),
            account_data=RoomEventFilter(not_types=[everything]),
            ephemeral=RoomEventFilter(not_types=[everything]),
        ),
    )


class Peer:
    """One bot with one device."""

    def __init__(self, service: AppService, store: FileASStateStore, homeserver: str, bot: UserID) -> None:
        self._service = service
        self._bot = bot
        self._keys = MemoryCryptoStore(bot, "the pickle key of a benchmark")
        self._client = Client(mxid=bot, base_url=homeserver, state_store=store, sync_store=self._keys)
        self._client.api.token = service.as_token
        self._machine = OlmMachine(self._client, self._keys, Rooms(store))
        self._machine.send_keys_min_trust = TrustState.UNVERIFIED
        self._client.crypto = self._machine

    async def start(self) -> None:
        """Make the device, publish its keys, listen for its to-device messages."""
        await self._service.intent.user(self._bot).ensure_registered()
        await self._client.create_device_msc4190("PEER", "peer")
        await self._machine.load()
        await self._keys.put_device_id(self._client.device_id)
        await self._machine.share_keys()
        self._client.presence = PresenceState.OFFLINE
        self._client.start(_to_device_only())

    async def stop(self) -> None:
        """End."""
        self._client.stop()
        await self._client.api.session.close()

    async def hear(self, event: Event) -> None:
        """Join where invited, and say again what was said."""
        if event.sender == self._bot:
            return
        if isinstance(event, StateEvent) and event.type == EventType.ROOM_MEMBER and event.state_key == self._bot:
            content = event.content
            if isinstance(content, MemberStateEventContent) and content.membership == Membership.INVITE:
                await self._service.intent.user(self._bot).join_room(event.room_id)
        elif isinstance(event, EncryptedEvent):
            plain = await self._decrypted(event)
            if isinstance(plain, MessageEvent) and plain.content.msgtype == MessageType.TEXT:
                await self._answer(event.room_id, plain.content.body)

    async def _decrypted(self, event: EncryptedEvent) -> Event:
        try:
            return await self._machine.decrypt_megolm_event(event)
        except SessionNotFound as error:
            await self._machine.wait_for_session(event.room_id, error.session_id, timeout=10)
            return await self._machine.decrypt_megolm_event(event)

    async def _answer(self, room_id: RoomID, body: str) -> None:
        content = TextMessageEventContent(msgtype=MessageType.TEXT, body=body)
        await self._client.send_message(room_id, content)


async def _main() -> None:
    options = arguments(__doc__)
    logging.basicConfig(level=logging.WARNING)
    store = FileASStateStore(path=str(options.state), binary=False)
    service = AppService(
        server=options.homeserver,
        domain=options.domain,
        as_token=options.as_token,
        hs_token=options.hs_token,
        bot_localpart=options.sender,
        id=options.id,
        state_store=store,
        default_http_retry_count=4,
    )
    peer = Peer(service, store, options.homeserver, UserID(f"@{options.localpart}:{options.domain}"))
    service.matrix_event_handler(peer.hear)
    await service.start("127.0.0.1", options.port)
    await peer.start()
    await service.ping_self()
    await running_until_told()
    await peer.stop()
    await service.stop()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main())
