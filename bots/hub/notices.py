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

log = logging.getLogger(__name__)

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Chats and members
        "chat.invited": "{person} has invited you to “{chat}”: {link}",
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
        # Privacy and devices
        "privacy.message_request": "{person} would like to write to you. Say “requests” to answer.",
        "privacy.add_request": "{person} would like to add you to “{chat}”. Say “requests” to answer.",
        "privacy.accepted": "{person} has accepted: you can write to them now.",
        "privacy.invited": "{person} has accepted, and is invited.",
        "device.signed_out": "The device “{device}” ({id}) of yours was signed out.",
    }
)
"""By code. A sentence whose code is not here is told in its plain form: the code is a defect, and it is logged."""


def sentence(code: str, values: Mapping[str, Any], translator: Translator) -> str:
    """What to tell somebody; empty for a code that nobody has given words."""
    text = MESSAGES.get(code)
    if text is None:
        log.warning("a notice has no words", extra={"code": code})
        return ""
    return translator.t(text, **shown(values, translator))


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
    if name == "role" and value in ROLES:
        return translator.t(ROLES[value])
    return one_line(value, MOST_VALUE) if isinstance(value, str) else value
