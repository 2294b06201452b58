"""Reading Megolm events: the key, the proof of who made it, and the refusal of what was seen before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mautrix.crypto import InboundGroupSession
from mautrix.errors import GroupSessionWithheldError, MatrixError
from mautrix.types import EventID, RoomID, SessionID
from olm.group_session import OlmGroupSessionError

from appservice import json
from appservice.e2ee.api import OLM_KEY
from appservice.e2ee.errors import DecryptionFailed, KeyMissing

if TYPE_CHECKING:
    from appservice.e2ee.bot import BotDevice

MEGOLM = "m.megolm.v1.aes-sha2"
CACHED = 512


@dataclass(frozen=True)
class _Envelope:
    """The readable part of an encrypted event."""

    room_id: str
    event_id: str
    sender: str
    timestamp: int
    session_id: str
    ciphertext: str
    sender_key: str | None
    relates_to: Any


def _open(event: Mapping[str, Any]) -> _Envelope:
    content = event.get("content")
    if not isinstance(content, Mapping):
        raise DecryptionFailed("malformed", "the encrypted event has no content")
    if content.get("algorithm") != MEGOLM:
        raise DecryptionFailed("algorithm", "the event is encrypted in a way that is not known")
    values = [event.get("room_id"), event.get("event_id"), event.get("sender"), content.get("ciphertext")]
    session_id, timestamp = content.get("session_id"), event.get("origin_server_ts")
    if not all(isinstance(value, str) and "\x00" not in value for value in values) or not isinstance(timestamp, int):
        raise DecryptionFailed("malformed", "the encrypted event lacks what it must have")
    if not isinstance(session_id, str) or not OLM_KEY.fullmatch(session_id):
        raise DecryptionFailed("malformed", "the encrypted event names no session")
    room_id, event_id, sender, ciphertext = (str(value) for value in values)
    key = content.get("sender_key")
    sender_key = key if isinstance(key, str) and OLM_KEY.fullmatch(key) else None
    relates_to = content.get("m.relates_to")
    return _Envelope(room_id, event_id, sender, timestamp, session_id, ciphertext, sender_key, relates_to)


class Decryptor:
    """Reads the Megolm events of one bot."""

    def __init__(self, bot: BotDevice) -> None:
        self._bot = bot
        self._sessions: OrderedDict[tuple[str, str], InboundGroupSession] = OrderedDict()
        self._proven: OrderedDict[tuple[str, str], str] = OrderedDict()

    def forget(self, room_id: str, session_id: str) -> None:
        """A better version of the session was stored."""
        self._sessions.pop((room_id, session_id), None)

    async def decrypt(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """``{"type", "content"}`` of an encrypted room event.

        Raises:
            KeyMissing: the session is not here; it is asked for.
            DecryptionFailed: the event can never be read.
        """
        envelope = _open(event)
        session = await self._session(envelope)
        try:
            plaintext, index = session.decrypt(envelope.ciphertext)
        except OlmGroupSessionError as error:
            if "UNKNOWN_MESSAGE_INDEX" in str(error):  # We were given the session from a later message on.
                raise self._missing(envelope, None) from None
            raise DecryptionFailed("bad_message", "the message does not belong to its session") from None
        except (ValueError, TypeError):
            raise DecryptionFailed("bad_message", "the message is no Megolm message") from None
        payload = _payload(plaintext, envelope)
        await self._prove(session, envelope)
        store = self._bot.store
        if not await store.validate_message_index(
            session.sender_key, SessionID(session.id), EventID(envelope.event_id), index, envelope.timestamp
        ):
            raise DecryptionFailed("replay", "this message was already received as another event")
        return payload

    async def _session(self, envelope: _Envelope) -> InboundGroupSession:
        key = (envelope.room_id, envelope.session_id)
        session = self._sessions.get(key)
        if session is not None:
            self._sessions.move_to_end(key)
            return session
        store = self._bot.store
        try:
            session = await store.get_group_session(RoomID(envelope.room_id), SessionID(envelope.session_id))
        except GroupSessionWithheldError:
            withheld = await store.withheld(envelope.room_id, envelope.session_id)
            raise self._missing(envelope, withheld) from None
        if session is None:
            raise self._missing(envelope, None)
        self._sessions[key] = session
        if len(self._sessions) > CACHED:
            self._sessions.popitem(last=False)
        return session

    def _missing(self, envelope: _Envelope, withheld: str | None) -> KeyMissing:
        refused = withheld is not None and not withheld.startswith(("m.no_olm", "m.unavailable"))
        if self._bot.requests is not None and not refused:
            self._bot.requests.want(envelope.room_id, envelope.session_id, envelope.sender, envelope.sender_key)
        return KeyMissing(envelope.session_id, envelope.room_id, envelope.sender, withheld)

    async def _prove(self, session: InboundGroupSession, envelope: _Envelope) -> None:
        """The session was made by a device of the event's sender: a server must not show one's words as another's."""
        key = (envelope.sender, envelope.session_id)
        if self._proven.get(key) == session.sender_key:
            return
        machine = self._bot.machine
        if session.sender_key == machine.account.identity_key:
            proven = envelope.sender == machine.client.mxid
        else:
            owner = await self._bot.store.session_owner(envelope.session_id)
            if owner is not None and owner != envelope.sender:
                raise DecryptionFailed("wrong_sender", "the message was encrypted by somebody else")
            try:
                device = await machine.directory.find(machine, envelope.sender, key=session.sender_key)
            except MatrixError:
                device = None
            # A device that is gone since proves nothing any more, but Olm told us whose it was.
            proven = owner is not None if device is None else device.signing_key == session.signing_key
        if not proven:
            raise DecryptionFailed("wrong_sender", "the message was not encrypted by a device of its sender")
        self._proven[key] = session.sender_key
        if len(self._proven) > CACHED:
            self._proven.popitem(last=False)


def _payload(plaintext: str, envelope: _Envelope) -> dict[str, Any]:
    try:
        data = json.loads(plaintext.encode())
    except (json.JSONError, UnicodeError):
        raise DecryptionFailed("bad_payload", "the decrypted message is no JSON") from None
    content = data.get("content") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("type"), str) or not isinstance(content, dict):
        raise DecryptionFailed("bad_payload", "the decrypted message lacks type or content")
    if data.get("room_id") != envelope.room_id:
        raise DecryptionFailed("wrong_room", "the message was encrypted for another room")
    if isinstance(envelope.relates_to, dict):
        content["m.relates_to"] = envelope.relates_to
    return {"type": data["type"], "content": content}
