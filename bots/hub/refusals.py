"""What the messenger refuses, in words that people understand, in their language."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bots.framework.i18n import Translator
from bots.hub.notices import shown
from bridge.errors import BridgeError, TooMany

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "no_such_chat": "I find no such chat of yours.",
        "role_too_low": "Only who is {role} there, or more, may do this.",
        "role_not_above": "Only somebody with a higher role may do this to them.",
        "not_the_steward": "That is Rialto itself.",
        "steward_power": "I have too little power in this chat to do that.",
        "not_addable": "They do not want to be added; send them an invite link.",
        "not_writable": "They do not want to be written to first.",
    }
)
"""By code; the sentence of a code that is not here is said in English, as it came."""


def why(refused: BridgeError, translator: Translator) -> str:
    """What to say about a refusal."""
    text = MESSAGES.get(refused.code)
    said = refused.human if text is None else translator.t(text, **shown(refused.fields, translator))
    if isinstance(refused, TooMany) and refused.retry_after > 0:
        said += " " + translator.n(
            "Try again in {count} second.", "Try again in {count} seconds.", max(1, round(refused.retry_after))
        )
    return said
