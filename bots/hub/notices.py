"""What people are told when something happens to them or in their chats: each once, in their own chat with the hub.

The messenger says a code and values (:mod:`bridge.notices`); the words stand here, and in the catalogues for the other
languages. Of the values, ``until``, ``at`` and what ends in ``_at`` are moments (ms since the epoch), ``seconds`` is a
length of time, ``role`` a word of :class:`bridge.domain.roles.Role`; all others stand as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from bots.framework.i18n import Translator
from bots.hub.words import ROLES, one_line

MOST_VALUE: Final = 500
"""Characters of a value."""
MOST_EVIDENCE: Final = 4_000
DECISIONS: Final = ("moderation.", "appeal.")
"""Codes of decisions about a person, with a moderator's word in ``reason``."""

log = logging.getLogger(__name__)

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Chats and members
        "chat.role": "In “{chat}” you are now: {role}.",
        "chat.muted": "You cannot write in “{chat}” until {until}.",
        "chat.muted_forever": "You cannot write in “{chat}” any more.",
        "chat.unmuted": "You can write in “{chat}” again.",
        "chat.kicked": "You were removed from “{chat}”.",
        "chat.banned": "You were banned from “{chat}”.",
        "chat.unbanned": "You may come to “{chat}” again.",
        "chat.owner": "“{chat}” is yours now: {person} has handed it over to you.",
        "chat.deleted": "“{chat}” was deleted for everybody.",
        "chat.slow_mode": "“{chat}” is slow: wait {seconds} between two messages. What came too soon was removed.",
        "chat.flooded": (
            "Very many people have come to “{chat}” in a short time: until {until} each of them has to be let in. "
            "“join requests” shows who waits."
        ),
        "invites.limited": "You have invited many people: some invitations were not made. Go on in an hour.",
        "join.requested": "{person} would like to come to “{chat}”. “join requests” lets them in or not.",
        "join.accepted": "You may come to “{chat}”: {link}",
        "join.declined": "Your request to come to “{chat}” was declined.",
        # Privacy and devices
        "privacy.message_request": "{person} would like to write to you. Say “requests” to answer.",
        "privacy.add_request": "{person} would like to add you to “{chat}”. Say “requests” to answer.",
        "privacy.accepted": "{person} has accepted: you can write to them now.",
        "privacy.invited": "{person} has accepted, and is invited.",
        "device.signed_out": "The device “{device}” ({id}) of yours was signed out.",
        "export.failed": "The copy of your data could not be made. Ask the operator of this server.",
        "erase.refused": "Your data was not erased: {reason}",
        # Reports, and what is decided
        "report.dismissed": "Moderators have looked at what you reported and found nothing wrong. Thank you.",
        "report.acted": "Moderators have looked at what you reported and done something about it. Thank you.",
        "report.refused": "That cannot be reported.",
        "moderation.warn": "Moderators warn you because of what you did in “{chat}”.",
        "moderation.mute": "Moderators have decided that you do not write in “{chat}” for {seconds}.",
        "moderation.remove": "Moderators have removed a message of yours from “{chat}”.",
        "moderation.ban": "Moderators have banned you from “{chat}”.",
        "moderation.suspend": "Moderators have suspended your account: you can read, and leave, and nothing else.",
        "appeal.granted": "Your appeal was granted: the decision is undone.",
        "appeal.refused": "Your appeal was looked at: the decision stays.",
        # In the moderators' room
        "queue.report": (
            "🚩 Report {report}: {subject}, in “{chat}”, by {reporters}. Why: {reason}. It says: {evidence}. To "
            "decide, write to me in our own chat: reports {report}"
        ),
        "queue.more": (
            "🚩 More about report {report}: {subject}, in “{chat}”, by {reporters}. Why: {reason}. It says: {evidence}"
        ),
        "queue.done": "✓ Report {report} is done: {action}, by {by}.",
        "queue.failed": "Report {report} could not be carried out ({problem}): decide anew.",
        "queue.appeal": "{subject} appeals report {report}: {appeal}. To decide, write to me in our own chat: appeals",
        "queue.answered": "✓ The appeal about report {report} is decided: {answer}.",
        "queue.bans": "The rule {rule} would ban {count} people: decide about them yourselves.",
    }
)
"""By code. What has no words here is told nobody, and logged: it is a defect (tests/unit/test_hub_texts.py)."""


def sentence(code: str, values: Mapping[str, Any], translator: Translator) -> str:
    """What to tell somebody; empty for a code that nobody has given words."""
    text = MESSAGES.get(code)
    if text is None:
        log.warning("a notice has no words", extra={"code": code})
        return ""
    lines = [translator.t(text, **shown({"chat": "", **values}, translator))]
    if code.startswith(DECISIONS) and values.get("reason"):
        lines.append(translator.t("They write: {reason}", **shown({"reason": values["reason"]}, translator)))
    if code.startswith(DECISIONS[0]):
        if link := values.get("link"):
            lines.append(translator.t("If that is wrong, appeal here: {link}", link=str(link)))
        else:
            lines.append(translator.t("If that is wrong, “appeal” has somebody else look at it."))
    return "\n".join(lines)


def shown(values: Mapping[str, Any], translator: Translator) -> dict[str, Any]:
    """Values as they stand in a sentence."""
    return {name: _shown(name, value, translator) for name, value in values.items()}


def _shown(name: str, value: Any, translator: Translator) -> Any:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        with suppress(OverflowError, ValueError, OSError):
            if name in {"until", "at"} or name.endswith("_at"):
                return datetime.fromtimestamp(value / 1000, UTC)
            if name == "seconds":
                return timedelta(seconds=value)
    if name == "chat" and not value:
        return translator.t("a chat")
    if name == "role" and value in ROLES:
        return translator.t(ROLES[value])
    return one_line(value, MOST_EVIDENCE if name == "evidence" else MOST_VALUE) if isinstance(value, str) else value
