"""What people write to moderators, and moderators to them: sealed in the database, for it may be out of any chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from appservice import json
from appservice.sealing import SealBroken, Sealer
from bridge.chats.plans import checked
from bridge.domain import texts
from bridge.domain.moderation import MOST_EVIDENCE, MOST_EVIDENCE_TEXT, MOST_REASON
from bridge.errors import Refused


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something that moderators may see.

    Attributes:
        body: what it says.
        event_id: the message; empty for what was only told.
        seen: Rialto has read it itself, in a chat that is not encrypted; otherwise it is the reporter's word.
    """

    body: str
    event_id: str = ""
    seen: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """Of one report. ``reason``: a word of the client's or a sentence."""

    reason: str = ""
    evidence: tuple[Evidence, ...] = ()

    @classmethod
    def of(cls, reason: str, evidence: str | Sequence[str | Evidence]) -> Self:
        """Check what a reporter says.

        Raises:
            Refused: it is too much, or cannot be shown.
        """
        given = [evidence] if isinstance(evidence, str) else list(evidence)
        if len(given) > MOST_EVIDENCE:
            raise Refused("too_much_evidence", f"At most {MOST_EVIDENCE} messages are shared with a report.")
        with checked():
            reason = texts.prose(reason, "reason", most=MOST_REASON)
            found = [
                Evidence(texts.prose(each, "evidence", most=MOST_EVIDENCE_TEXT)) if isinstance(each, str) else each
                for each in given
            ]
        return cls(reason, tuple(each for each in found if each.body))

    def and_also(self, other: Words) -> Words:
        """What was said before and now: the later reason, all evidence, each once."""
        evidence = tuple(dict.fromkeys((*self.evidence, *other.evidence)))[:MOST_EVIDENCE]
        return replace(self, reason=other.reason or self.reason, evidence=evidence)


def prose(text: str) -> str:
    """A moderator's or an appellant's words.

    Raises:
        Refused: they are too many, or cannot be shown.
    """
    with checked():
        return texts.prose(text, "reason", most=MOST_REASON)


class Book:
    """Seals and opens words. Each is bound to the row that it stands in."""

    def __init__(self, pickle_key: str) -> None:
        self._sealer = Sealer(pickle_key, "moderation")

    def seal(self, words: Words, report_id: str) -> bytes:
        """The words of a report."""
        evidence = [[each.body, each.event_id, each.seen] for each in words.evidence]
        return self._sealer.seal(json.dumps({"reason": words.reason, "evidence": evidence}), f"report:{report_id}")

    def open(self, sealed: bytes, report_id: str) -> Words:
        """The words of a report; none when they were forgotten."""
        if not sealed:
            return Words()
        try:
            found: Mapping[str, Any] = json.loads(self._sealer.open(sealed, f"report:{report_id}"))
        except SealBroken:
            # The report is there all the same, and somebody must decide.
            return Words(reason="(the words do not open: was encryption.pickle_key changed?)")
        return Words(found["reason"], tuple(Evidence(*each) for each in found["evidence"]))

    def seal_text(self, text: str, place: str) -> bytes | None:
        """A text at a place; None for an empty one."""
        return self._sealer.seal(text.encode(), place) if text else None

    def open_text(self, sealed: bytes | None, place: str) -> str:
        """The text at a place."""
        if not sealed:
            return ""
        try:
            return self._sealer.open(sealed, place).decode()
        except SealBroken:
            return "(the words do not open: was encryption.pickle_key changed?)"
