"""What an event is to a bot: a text, a file, a reaction, a vote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from appservice.events import Event
from bots.framework import content as contents
from bots.framework.dialogs.answers import Answer, AnswerKind

MEDIA: Final = frozenset({"m.image", "m.file", "m.audio", "m.video"})
TEXT: Final = frozenset({"m.text", "m.emote"})

IncomingKind = Literal["text", "media", "location", "reaction", "poll", "edit"]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message of a person, taken apart."""

    kind: IncomingKind
    content: Mapping[str, Any]
    """Of an edit the new content."""
    text: str = ""
    reply_to: str = ""
    thread: str = ""
    """The event at the root of the thread."""
    target: str = ""
    """What is edited, reacted to or voted in."""
    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, event: Event) -> Incoming | None:
        """What an event is, or None when it is nothing that a bot answers."""
        if event.type == "m.reaction":
            return _reaction(event.content)
        if event.type in contents.POLL_RESPONSES:
            vote = contents.parse_poll_response(event.content)
            return None if vote is None else cls("poll", event.content, target=vote[0], values=vote[1])
        if event.type != "m.room.message":
            return None
        relation = event.content.get("m.relates_to")
        relation = relation if isinstance(relation, dict) else {}
        if relation.get("rel_type") == "m.replace":
            new, original = event.content.get("m.new_content"), relation.get("event_id")
            if not isinstance(new, dict) or not isinstance(original, str):
                return None
            return cls("edit", new, text=_text(new, {}), target=original)
        return _message(event.content, relation)

    def answer(self, event: Event) -> Answer:
        """The same as an answer in a dialog."""
        kind: AnswerKind = "text" if self.kind == "edit" else self.kind
        return Answer(
            kind, event.sender, event.event_id, self.text, self.content, self.values, self.target or self.reply_to
        )


def _reaction(content: Mapping[str, Any]) -> Incoming | None:
    relation = content.get("m.relates_to")
    if not isinstance(relation, dict) or relation.get("rel_type") != "m.annotation":
        return None
    key, target = relation.get("key"), relation.get("event_id")
    if not isinstance(key, str) or not isinstance(target, str):
        return None
    return Incoming("reaction", content, target=target, values=(key,))


def _message(content: Mapping[str, Any], relation: Mapping[str, Any]) -> Incoming | None:
    msgtype = content.get("msgtype")
    if not isinstance(msgtype, str):
        return None
    thread = relation.get("event_id") if relation.get("rel_type") == "m.thread" else ""
    reply = relation.get("m.in_reply_to")
    reply_to = reply.get("event_id") if isinstance(reply, dict) else ""
    if relation.get("is_falling_back") is True:
        reply_to = ""  # a thread for clients without threads, no reply (specification, "Threading")
    kind: IncomingKind
    if msgtype in MEDIA:
        kind = "media"
    elif msgtype == "m.location":
        kind = "location"
    elif msgtype in TEXT:
        kind = "text"
    else:
        return None
    return Incoming(
        kind,
        content,
        text=_text(content, relation),
        reply_to=reply_to if isinstance(reply_to, str) else "",
        thread=thread if isinstance(thread, str) else "",
    )


def _text(content: Mapping[str, Any], relation: Mapping[str, Any]) -> str:
    """The plain body, without the quotation that old clients put before a reply."""
    body = content.get("body")
    if not isinstance(body, str):
        return ""
    return contents.strip_reply_fallback(body) if "m.in_reply_to" in relation else body
