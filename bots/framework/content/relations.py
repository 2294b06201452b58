"""How a message refers to another: replies, threads, edits. Each returns a new content."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

Content = dict[str, Any]

_REPLY_FALLBACK = re.compile(r"\A(?:>(?: [^\n]*)?(?:\n|\Z))+\n?")
_HTML_REPLY_FALLBACK = re.compile(r"\A\s*<mx-reply>.*?</mx-reply>", re.DOTALL | re.IGNORECASE)


def reply_to(content: Mapping[str, Any], event_id: str, *, mention: str | None = None) -> Content:
    """A reply to an event, without a quote in the body (specification 1.13, "Rich replies").

    Args:
        content: of the reply.
        event_id: what it replies to.
        mention: the user id of the event's sender, when that person is to be notified.
    """
    relation = dict(content.get("m.relates_to", {}))
    relation["m.in_reply_to"] = {"event_id": event_id}
    answered = {**content, "m.relates_to": relation}
    return mentioning(answered, mention) if mention is not None else answered


def in_thread(content: Mapping[str, Any], root: str, last: str | None = None, reply: str | None = None) -> Content:
    """A message in a thread (specification, "Threading").

    Args:
        content: of the message.
        root: the event that the thread began with, never one within it.
        last: the thread's latest event, to which clients without threads show this as a reply; ``root`` by default.
        reply: the event in the thread that this answers on purpose.
    """
    relation = {
        "rel_type": "m.thread",
        "event_id": root,
        "is_falling_back": reply is None,
        "m.in_reply_to": {"event_id": reply or last or root},
    }
    return {**content, "m.relates_to": relation}


def replacement(content: Mapping[str, Any], event_id: str, *, mentioned: Collection[str] = ()) -> Content:
    """An edit of a message of the sender's own (specification, "Event replacements").

    Args:
        content: the new one, whole.
        event_id: the message that is edited.
        mentioned: who was mentioned before the edit: they are not notified again (specification, "User and room
            mentions").
    """
    new = {key: value for key, value in content.items() if key != "m.relates_to"}
    edit = dict(new)
    for key in ("body", "formatted_body"):
        if isinstance(text := edit.get(key), str):
            edit[key] = f"* {text}"
    mentions = dict(new.get("m.mentions", {}))
    if "user_ids" in mentions:
        mentions["user_ids"] = [user_id for user_id in mentions["user_ids"] if user_id not in set(mentioned)]
    edit["m.mentions"] = {key: value for key, value in mentions.items() if value}
    edit["m.new_content"] = new
    edit["m.relates_to"] = {"rel_type": "m.replace", "event_id": event_id}
    return edit


def mentioning(content: Mapping[str, Any], *user_ids: str, room: bool = False) -> Content:
    """Mention people, or the whole room, beside whom the content mentions already."""
    mentions = dict(content.get("m.mentions", {}))
    known = list(dict.fromkeys([*mentions.get("user_ids", ()), *user_ids]))
    if known:
        mentions["user_ids"] = known
    if room:
        mentions["room"] = True
    return {**content, "m.mentions": mentions}


def strip_reply_fallback(body: str) -> str:
    """The body of a reply without the quote that clients put before it until specification 1.13.

    Only for events that are replies: elsewhere a leading quote is the message itself.
    """
    rest = _REPLY_FALLBACK.sub("", body, count=1)
    return rest if rest.strip() else body


def strip_reply_fallback_html(html: str) -> str:
    """The ``formatted_body`` of a reply without its leading ``mx-reply``."""
    return _HTML_REPLY_FALLBACK.sub("", html, count=1)
