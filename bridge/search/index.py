"""What search keeps of a message, and how it is brought there and away: for live events and for the past alike."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from appservice.sealing import SealBroken, Sealer
from bridge.domain.hidden import is_hidden
from bridge.domain.search import Place, Said, Terms, said
from bridge.store import search as store
from bridge.store.chats import Chat
from bridge.store.search import Document

REMEMBERED: Final = 20_000

Found = tuple[Document, int, Sequence[str]]
"""A document, its time (ms), its terms."""


class Index:
    """Makes documents of messages."""

    def __init__(self, terms: Terms, sealer: Sealer) -> None:
        self.terms = terms
        self._sealer = sealer
        self._gone: OrderedDict[str, None] = OrderedDict()

    def document(
        self,
        chat: Chat,
        *,
        event_id: str,
        room_id: str,
        sender: str,
        at: int,
        event_type: str,
        content: Mapping[str, Any],
    ) -> Found | None:
        """What is kept of a message; None for what nobody looks for, and for an edit, which is no message itself."""
        message = said(event_type, content)
        if message is None or message.replaces:
            return None
        body, sealed, terms = self.kept(chat, event_id, sender, at, message, content)
        found = Document(event_id, room_id, chat.id, sender, message.kind.value, body, sealed)
        return found, at, terms

    def kept(
        self, chat: Chat, event_id: str, sender: str, at: int, message: Said, content: Mapping[str, Any]
    ) -> tuple[str, bytes | None, list[str]]:
        """The body in the clear, or sealed, and the terms of a message. What is hidden is not found by its words."""
        new = content.get("m.new_content")
        if is_hidden(content) or (isinstance(new, Mapping) and is_hidden(new)):
            message = Said("", message.kind, message.replaces)
        place = Place(chat.id, chat.encrypted, chat.workspace)
        terms = self.terms.of(message, sender, place, at)
        if not chat.encrypted:
            return message.text, None, terms
        return "", self._sealer.seal(message.text.encode(), event_id), terms

    def text(self, document: Document) -> str:
        """What a document's message says; '' when it cannot be opened (another pickle key)."""
        if document.sealed is None:
            return document.body
        try:
            return self._sealer.open(bytes(document.sealed), document.event_id).decode()
        except SealBroken:
            return ""

    def gone(self, event_id: str) -> None:
        """A message was redacted: what is on its way into the index must not come there any more."""
        self._gone[event_id] = None
        if len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    def add(self, connection: Connection, found: Sequence[Found]) -> int:
        """Keep messages that were not redacted meanwhile."""
        return store.add(connection, [each for each in found if each[0].event_id not in self._gone])

    def sweep(self, connection: Connection, found: Sequence[Found]) -> None:
        """After the commit of :meth:`add`: what was redacted while it was under way."""
        store.remove(connection, [each[0].event_id for each in found if each[0].event_id in self._gone])

    def missed(self, found: Sequence[Found]) -> bool:
        """Whether there is anything to :meth:`sweep`."""
        return any(each[0].event_id in self._gone for each in found)
