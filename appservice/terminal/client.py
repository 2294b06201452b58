"""A Matrix client in one class: matrix-nio with a sync loop that never forgets an event it could not read yet.

nio's crypto is vodozemac, while the bots' is libolm: two independent implementations talk to each other here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import mimetypes
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nio
from nio.crypto.attachments import decrypt_attachment, encrypt_attachment
from nio.exceptions import EncryptionError

from appservice.errors import RialtoError

SYNC_TIMEOUT = 30_000  # milliseconds
MEGOLM = "m.megolm.v1.aes-sha2"
# Without it a sync brings the last 10 events of a room and passes over the rest of a burst.
SYNC_FILTER = {"room": {"timeline": {"limit": 1000}}}


class ClientError(RialtoError):
    """The homeserver refused what the client asked, or cannot be reached (``status`` 0)."""

    code = "client"


@dataclass(frozen=True)
class Seen:
    """An event as the client saw it: decrypted when it was encrypted and its key is here."""

    room_id: str
    event_id: str
    sender: str
    type: str
    content: dict[str, Any] = field(repr=False)
    encrypted: bool = False
    timestamp: int = 0
    state_key: str | None = None
    redacts: str | None = None
    unsigned: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def readable(self) -> bool:
        """Whether the content is plain: never encrypted, or decrypted."""
        return self.type != "m.room.encrypted"

    @property
    def body(self) -> str:
        """The text of a message; of an edit, the new text; empty for other events."""
        content = self.content
        if self.replaces and isinstance(content.get("m.new_content"), dict):
            content = content["m.new_content"]
        body = content.get("body", "")
        return body if isinstance(body, str) else ""

    @property
    def msgtype(self) -> str:
        """m.text, m.image …; empty for other events."""
        return str(self.content.get("msgtype", ""))

    @property
    def relation(self) -> Mapping[str, Any]:
        """``m.relates_to``, empty when there is none."""
        value = self.content.get("m.relates_to")
        return value if isinstance(value, dict) else {}

    @property
    def replaces(self) -> str | None:
        """The event that this one edits."""
        return self.relation.get("event_id") if self.relation.get("rel_type") == "m.replace" else None


Listener = Callable[[Seen], None]


@dataclass(frozen=True)
class Login:
    """A device of a user: what is needed to go on where it stopped."""

    user_id: str
    device_id: str
    access_token: str = field(repr=False)


class MatrixClient:
    """One device of one user. ``store`` holds its keys and must be its own folder.

    :meth:`start` syncs once and keeps syncing in an owned task until :meth:`close`. Every event of a joined room goes
    to every listener, in the order of the server, once readable; an event whose key is missing goes there as
    ``m.room.encrypted`` and once more when its key has come. ``history`` keeps the last readable messages.
    """

    def __init__(self, url: str, user: str, store: Path, *, device_id: str | None = None) -> None:
        store.mkdir(parents=True, exist_ok=True, mode=0o700)
        config = nio.AsyncClientConfig(
            store_sync_tokens=True, encryption_enabled=True, max_timeouts=5, request_timeout=60
        )
        self.url = url
        self.store = store
        self.nio = nio.AsyncClient(url, user, device_id=device_id, store_path=str(store), config=config)
        self.listeners: list[Listener] = []
        self.invite_listeners: list[Callable[[str, str], None]] = []
        self.history: deque[Seen] = deque(maxlen=200)
        self._undecrypted: dict[str, tuple[str, Any]] = {}
        self._changed = asyncio.Condition()
        self._loop: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._send_locks: dict[str, asyncio.Lock] = {}
        self._keys = asyncio.Lock()

    @property
    def id(self) -> str:
        """The full user id (after login)."""
        return str(self.nio.user_id or self.nio.user)

    @property
    def device_id(self) -> str:
        """The device's id (after login)."""
        return str(self.nio.device_id)

    @property
    def rooms(self) -> dict[str, Any]:
        """The joined rooms as nio knows them."""
        rooms: dict[str, Any] = self.nio.rooms
        return rooms

    async def login(self, password: str, device_name: str = "rialto") -> Login:
        """Log in by password as a new device. Raises ClientError."""
        answer = await self._call(self.nio.login(password=password, device_name=device_name))
        return Login(answer.user_id, answer.device_id, answer.access_token)

    def restore(self, login: Login) -> None:
        """Go on as a device that logged in before; its keys are read from the store."""
        self.nio.restore_login(login.user_id, login.device_id, login.access_token)

    async def start(self) -> None:
        """Sync once, upload the device's keys, then sync in the background. Raises ClientError."""
        self.nio.add_event_callback(self._on_event, nio.Event)
        self.nio.add_event_callback(self._on_invite, nio.InviteMemberEvent)
        await self._sync_once(timeout=0, full_state=True)
        self._loop = asyncio.create_task(self._sync_forever(), name=f"sync {self.id}")

    async def close(self, *, logout: bool = False) -> None:
        """Stop syncing and close the connections; with ``logout`` the device ends too."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        if logout:
            with contextlib.suppress(ClientError):
                await self._call(self.nio.logout())
        await self.nio.close()
        if self.nio.store is not None:
            self.nio.store.database.close()

    # ------------------------------------------------------------------ sync

    async def _sync_forever(self) -> None:
        while True:
            try:
                await self._sync_once(timeout=SYNC_TIMEOUT)
            except ClientError as error:
                if error.fields.get("errcode") in {"M_UNKNOWN_TOKEN", "M_FORBIDDEN"}:
                    await self._fail(error)
                    return
                await asyncio.sleep(0.5)  # the homeserver is away or busy: try again
            except Exception as error:  # noqa: BLE001 - a waiter must hear of it instead of waiting for nothing
                await self._fail(error)
                return

    async def _fail(self, error: BaseException) -> None:
        self._failure = error
        async with self._changed:
            self._changed.notify_all()

    async def _sync_once(self, *, timeout: int, full_state: bool = False) -> None:
        await self._call(self.nio.sync(timeout=timeout, full_state=full_state or None, sync_filter=SYNC_FILTER))
        await self._maintain_keys()
        self._retry_undecrypted()
        async with self._changed:
            self._changed.notify_all()

    async def _maintain_keys(self) -> None:
        async with self._keys:
            if self.nio.should_upload_keys:
                await self._call(self.nio.keys_upload())
            if self.nio.should_query_keys:
                await self._call(self.nio.keys_query())
            if self.nio.should_claim_keys:
                await self._call(self.nio.keys_claim(self.nio.get_users_for_key_claiming()))
            await self.nio.send_to_device_messages()

    async def _on_event(self, room: Any, event: Any) -> None:
        if isinstance(event, nio.MegolmEvent):
            self._undecrypted[event.event_id] = (room.room_id, event)
        self._tell(seen_of(room.room_id, event))

    async def _on_invite(self, room: Any, event: Any) -> None:
        if event.state_key == self.id and event.membership == "invite":
            for listener in list(self.invite_listeners):
                listener(room.room_id, event.sender)

    def _retry_undecrypted(self) -> None:
        for event_id, (room_id, event) in list(self._undecrypted.items()):
            try:
                decrypted = self.nio.decrypt_event(event)
            except EncryptionError:
                continue
            del self._undecrypted[event_id]
            self._tell(seen_of(room_id, decrypted))

    def _tell(self, seen: Seen) -> None:
        if seen.type == "m.room.message":
            self.history.append(seen)
        for listener in list(self.listeners):
            listener(seen)

    async def until(self, condition: Callable[[], bool], timeout: float = 20, what: str = "the sync") -> None:
        """Wait until ``condition`` holds; it is asked after every sync. Raises TimeoutError, naming ``what``."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                while not condition():
                    if self._failure is not None:
                        raise ClientError(f"the sync of {self.id} stopped: {self._failure}") from self._failure
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"{self.id} waited {timeout:g} s in vain for {what}") from None

    # ----------------------------------------------------------------- rooms

    async def create_room(
        self,
        name: str | None = None,
        *,
        encrypted: bool = True,
        invite: tuple[str, ...] = (),
        direct: bool = False,
        initial_state: tuple[dict[str, Any], ...] = (),
    ) -> str:
        """Make a private room and wait until this client knows it (and its encryption); its id."""
        state = list(initial_state)
        if encrypted:
            state.append({"type": "m.room.encryption", "state_key": "", "content": {"algorithm": MEGOLM}})
        preset = nio.RoomPreset.trusted_private_chat if direct else nio.RoomPreset.private_chat
        answer = await self._call(
            self.nio.room_create(name=name, is_direct=direct, preset=preset, invite=list(invite), initial_state=state)
        )
        room_id = str(answer.room_id)
        await self.until(
            lambda: room_id in self.rooms and self.rooms[room_id].encrypted == encrypted, what=f"room {room_id}"
        )
        return room_id

    async def invite(self, room_id: str, user_id: str) -> None:
        """Invite a user."""
        await self._call(self.nio.room_invite(room_id, user_id))

    async def join(self, room: str) -> str:
        """Join a room by id or alias and wait until this client knows it; its id."""
        room_id = str((await self._call(self.nio.join(room))).room_id)
        await self.until(lambda: room_id in self.rooms, what=f"room {room_id}")
        return room_id

    async def leave(self, room_id: str) -> None:
        """Leave a room."""
        await self._call(self.nio.room_leave(room_id))

    async def kick(self, room_id: str, user_id: str) -> None:
        """Remove a member."""
        await self._call(self.nio.room_kick(room_id, user_id))

    async def members(self, room_id: str) -> set[str]:
        """The joined members, asked from the homeserver."""
        answer = await self.request("GET", f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/joined_members")
        return set(answer["joined"])

    def knows_device(self, user_id: str, device_id: str) -> bool:
        """Whether this client has the keys of somebody's device, so that it sends to that device too."""
        return device_id in self.nio.device_store[user_id]

    async def state(self, room_id: str, event_type: str, state_key: str = "") -> dict[str, Any] | None:
        """The content of a state event; None when there is none."""
        answer = await self.nio.room_get_state_event(room_id, event_type, state_key)
        return dict(answer.content) if isinstance(answer, nio.RoomGetStateEventResponse) else None

    # -------------------------------------------------------------- messages

    async def send(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        """Send an event, encrypted when the room is; its id. Sends in one room go out in the order of the calls."""
        async with self._send_locks.setdefault(room_id, asyncio.Lock()):
            if event_type != "m.reaction" and room_id in self.rooms and self.rooms[room_id].encrypted:
                await self._maintain_keys()  # a device that appeared meanwhile gets the key too
            answer = await self._call(
                self.nio.room_send(room_id, event_type, dict(content), ignore_unverified_devices=True)
            )
        return str(answer.event_id)

    async def say(self, room_id: str, text: str, **more: Any) -> str:
        """Send a text; its event id."""
        return await self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": text, **more})

    async def edit(self, room_id: str, event_id: str, text: str) -> str:
        """Replace the text of an own message; the id of the edit."""
        content = {
            "msgtype": "m.text",
            "body": f"* {text}",
            "m.new_content": {"msgtype": "m.text", "body": text},
            "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
        }
        return await self.send(room_id, "m.room.message", content)

    async def react(self, room_id: str, event_id: str, key: str) -> str:
        """Annotate a message (reactions are never encrypted); the id of the reaction."""
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return await self.send(room_id, "m.reaction", {"m.relates_to": relation})

    async def redact(self, room_id: str, event_id: str, reason: str | None = None) -> str:
        """Remove the content of an event; the id of the redaction."""
        return str((await self._call(self.nio.room_redact(room_id, event_id, reason))).event_id)

    # ----------------------------------------------------------------- media

    async def send_image(self, room_id: str, data: bytes, name: str = "image.png") -> str:
        """Send an image, encrypted when the room is; its event id."""
        mimetype = mimetypes.guess_type(name)[0] or "application/octet-stream"
        kind = "m.image" if mimetype.startswith("image/") else "m.file"
        content: dict[str, Any] = {"msgtype": kind, "body": name, "filename": name}
        content["info"] = {"mimetype": mimetype, "size": len(data)}
        if self.rooms[room_id].encrypted:
            ciphertext, keys = encrypt_attachment(data)
            content["file"] = {**keys, "url": await self.upload(ciphertext, "application/octet-stream")}
        else:
            content["url"] = await self.upload(data, mimetype)
        return await self.send(room_id, "m.room.message", content)

    async def upload(self, data: bytes, content_type: str) -> str:
        """Upload bytes as they are; their mxc address."""
        answer = await self.request("POST", "/_matrix/media/v3/upload", data=data, content_type=content_type)
        return str(answer["content_uri"])

    async def download(self, content: Mapping[str, Any]) -> bytes:
        """The file of an ``m.image`` or ``m.file`` message, decrypted when it is encrypted (its hash is checked)."""
        file = content.get("file")
        if isinstance(file, dict):
            ciphertext = await self.download_mxc(str(file["url"]))
            plain: bytes = decrypt_attachment(ciphertext, file["key"]["k"], file["hashes"]["sha256"], file["iv"])
            return plain
        return await self.download_mxc(str(content["url"]))

    async def download_mxc(self, mxc: str) -> bytes:
        """The bytes behind an mxc address, as they are."""
        server, _, media = mxc.removeprefix("mxc://").partition("/")
        return await self._bytes("GET", f"/_matrix/client/v1/media/download/{quote(server)}/{quote(media)}")

    # -------------------------------------------------------------- requests

    async def request(
        self, method: str, path: str, *, body: Any = None, data: bytes | None = None, content_type: str | None = None
    ) -> dict[str, Any]:
        """One raw request as this user; the JSON object it answers. ``path`` is percent-encoded. Raises ClientError."""
        payload = json.dumps(body).encode() if body is not None else data
        answer = json.loads(await self._bytes(method, path, payload, content_type or "application/json"))
        if not isinstance(answer, dict):
            raise ClientError(f"{method} {path} did not answer a JSON object")
        return answer

    async def _bytes(self, method: str, path: str, data: bytes | None = None, content_type: str = "") -> bytes:
        headers = {"Authorization": f"Bearer {self.nio.access_token}"}
        if data is not None:
            headers["Content-Type"] = content_type
        try:
            response = await self.nio.send(method, path, data, headers)
            payload = bytes(await response.read())
        except (OSError, TimeoutError) as error:  # aiohttp's connection errors are OSErrors
            raise ClientError(f"cannot reach {self.url}: {error}", status=0) from error
        if response.status >= 400:
            raise ClientError(f"{method} {path}: {response.status} {payload[:300]!r}", status=response.status)
        return payload

    async def _call(self, call: Any) -> Any:
        """Await a request of nio; an error response becomes ClientError."""
        try:
            answer = await call
        except (OSError, TimeoutError) as error:
            raise ClientError(f"cannot reach {self.url}: {error or type(error).__name__}", status=0) from error
        if isinstance(answer, nio.ErrorResponse):
            transport = answer.transport_response
            status = 0 if transport is None else transport.status
            raise ClientError(f"{self.url}: {answer.message}", status=status, errcode=str(answer.status_code))
        return answer


def seen_of(room_id: str, event: Any) -> Seen:
    """What nio hands to its callbacks as a :class:`Seen`."""
    source = event.source if isinstance(event.source, dict) else {}
    content = source.get("content")
    return Seen(
        room_id=room_id,
        event_id=event.event_id,
        sender=event.sender,
        type=str(source.get("type", "")),
        content=content if isinstance(content, dict) else {},
        encrypted=bool(event.decrypted) or isinstance(event, nio.MegolmEvent),
        timestamp=int(event.server_timestamp),
        state_key=source.get("state_key"),
        redacts=source.get("redacts") or (content or {}).get("redacts"),
        unsigned=source.get("unsigned") or {},
    )
