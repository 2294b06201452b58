"""Polls (MSC3381), in the form that today's clients understand: the unstable event types with their older fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bots.framework.content.characters import clean
from bots.framework.content.errors import ContentError
from bots.framework.i18n import English, Translator

POLL_START = "org.matrix.msc3381.poll.start"
"""The type of an event that starts a poll, as clients write it today (MSC3381)."""
POLL_RESPONSE = "org.matrix.msc3381.poll.response"
"""The type of a vote."""
POLL_END = "org.matrix.msc3381.poll.end"
"""The type of an event that ends a poll."""
POLL_STARTS = frozenset({POLL_START, "m.poll.start"})
"""The types of starts that are understood: today's and the specification's."""
POLL_RESPONSES = frozenset({POLL_RESPONSE, "m.poll.response"})
"""The types of votes that are understood."""
POLL_ENDS = frozenset({POLL_END, "m.poll.end"})
"""The types of ends that are understood."""
MAX_ANSWERS = 20
_TEXT = "org.matrix.msc1767.text"
_DISCLOSED = "org.matrix.msc3381.poll.disclosed"
_UNDISCLOSED = "org.matrix.msc3381.poll.undisclosed"


@dataclass(frozen=True, slots=True)
class Answer:
    """One option of a poll. ``id`` is what votes name."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Poll:
    """A question with up to twenty answers, of which each person may select ``max_selections``."""

    question: str
    answers: tuple[Answer, ...]
    max_selections: int = 1
    disclosed: bool = True

    def __post_init__(self) -> None:
        ids = [answer.id for answer in self.answers]
        if not self.question.strip() or not all(answer.id and answer.text.strip() for answer in self.answers):
            raise ContentError("a poll needs a question, and a text for each answer")
        if not 1 <= len(ids) <= MAX_ANSWERS:
            raise ContentError(f"a poll has 1 to {MAX_ANSWERS} answers", answers=len(ids))
        if len(set(ids)) != len(ids):
            raise ContentError("two answers of a poll have the same id")
        if not 1 <= self.max_selections <= len(ids):
            raise ContentError("a poll allows at least one selection and at most all", selections=self.max_selections)

    def selection(self, ids: Sequence[str]) -> tuple[str, ...]:
        """What counts of a vote: none of it when it names an unknown answer, each answer once, never too many."""
        known = {answer.id for answer in self.answers}
        if not all(chosen in known for chosen in ids):
            return ()
        return tuple(dict.fromkeys(ids[: self.max_selections]))


@dataclass(frozen=True, slots=True)
class Vote:
    """One ``m.poll.response``: who selected what, when (``origin_server_ts``, milliseconds)."""

    sender: str
    ids: tuple[str, ...]
    timestamp: int


def poll(question: str, answers: Sequence[str | Answer], *, max_selections: int = 1, disclosed: bool = True) -> Poll:
    """A poll; answers given as text are known by their number, from "1" on."""
    options = tuple(
        Answer(clean(answer.id), clean(answer.text))
        if isinstance(answer, Answer)
        else Answer(str(number), clean(answer))
        for number, answer in enumerate(answers, 1)
    )
    return Poll(clean(question), options, max_selections, disclosed)


def poll_start(poll: Poll) -> dict[str, Any]:
    """The content of a ``POLL_START`` event, with the numbered text for clients that know no polls."""
    lines = [poll.question, *(f"{number}. {answer.text}" for number, answer in enumerate(poll.answers, 1))]
    fallback = "\n".join(lines)
    return {
        POLL_START: {
            "question": {_TEXT: poll.question, "msgtype": "m.text", "body": poll.question},
            "kind": _DISCLOSED if poll.disclosed else _UNDISCLOSED,
            "max_selections": poll.max_selections,
            "answers": [{"id": answer.id, _TEXT: answer.text} for answer in poll.answers],
        },
        _TEXT: fallback,
        "body": fallback,
        "m.mentions": {},
    }


def poll_response(event_id: str, ids: Iterable[str]) -> dict[str, Any]:
    """The content of a ``POLL_RESPONSE`` to the poll with this event id; no ids take a vote back."""
    return {
        "m.relates_to": {"rel_type": "m.reference", "event_id": event_id},
        POLL_RESPONSE: {"answers": list(ids)},
    }


def poll_end(event_id: str, text: str = "", *, translator: Translator | None = None) -> dict[str, Any]:
    """The content of a ``POLL_END``: the poll with this event id takes no more votes.

    Args:
        event_id: of the poll's start.
        text: what clients that know no polls show: the result in words.
        translator: gives the words where there is no ``text``.
    """
    text = clean(text) or (translator or English()).t("The poll has ended.")
    return {
        "m.relates_to": {"rel_type": "m.reference", "event_id": event_id},
        POLL_END: {},
        _TEXT: text,
        "body": text,
        "m.mentions": {},
    }


def parse_poll(content: Mapping[str, Any]) -> Poll | None:
    """The poll of a start event in its unstable form, its stable one, or a mixture; None for what is none."""
    data = _first(content, POLL_START, "m.poll", "m.poll.start")
    raw = data.get("answers") if data is not None else None
    if data is None or not isinstance(raw, list):
        return None
    answers: list[Answer] = []
    for entry in raw[:MAX_ANSWERS]:
        chosen = entry.get("id", entry.get("m.id")) if isinstance(entry, dict) else None
        if not isinstance(chosen, str):
            return None
        answers.append(Answer(chosen, _text(entry) or ""))
    most = data.get("max_selections")
    most = most if isinstance(most, int) and not isinstance(most, bool) and most >= 1 else 1
    disclosed = data.get("kind") in {_DISCLOSED, "m.disclosed", "m.poll.disclosed"}
    try:
        return Poll(_text(data.get("question")) or "", tuple(answers), min(most, max(1, len(answers))), disclosed)
    except ContentError:
        return None


def parse_poll_response(content: Mapping[str, Any]) -> tuple[str, tuple[str, ...]] | None:
    """The poll's event id and the ids selected, of a response in either form; None for what is no response.

    What counts of them :meth:`Poll.selection` says.
    """
    event_id = parse_poll_reference(content)
    if event_id is None:
        return None
    selected = content.get("m.selections")
    data = _first(content, POLL_RESPONSE, "m.poll.response", "m.response")
    if selected is None and data is not None:
        selected = data.get("answers", [])  # matrix-js-sdk leaves the key out for a vote that is taken back
    if not isinstance(selected, list) or not all(isinstance(chosen, str) for chosen in selected):
        return None
    return event_id, tuple(selected)


def parse_poll_reference(content: Mapping[str, Any]) -> str | None:
    """The event id of the poll that a response or an end refers to."""
    relation = content.get("m.relates_to")
    if not isinstance(relation, Mapping) or relation.get("rel_type") != "m.reference":
        return None
    event_id = relation.get("event_id")
    return event_id if isinstance(event_id, str) and event_id else None


def count_votes(poll: Poll, votes: Iterable[Vote], *, closed_at: int | None = None) -> dict[str, list[str]]:
    """Who voted for each answer: of each person the latest vote up to the end counts, valid or not (MSC3381).

    Returns:
        User ids by answer id, all answers in the poll's order.
    """
    latest: dict[str, Vote] = {}
    for vote in votes:
        if closed_at is not None and vote.timestamp > closed_at:
            continue
        known = latest.get(vote.sender)
        if known is None or vote.timestamp >= known.timestamp:
            latest[vote.sender] = vote
    counted: dict[str, list[str]] = {answer.id: [] for answer in poll.answers}
    for vote in latest.values():
        for chosen in poll.selection(vote.ids):
            counted[chosen].append(vote.sender)
    return counted


def _first(content: Mapping[str, Any], *keys: str) -> Mapping[str, Any] | None:
    return next((value for key in keys if isinstance(value := content.get(key), Mapping)), None)


def _text(value: object) -> str | None:
    """A text as a string, or as the list of representations of MSC1767."""
    if not isinstance(value, Mapping):
        return None
    for key in (_TEXT, "m.text", "body"):
        text = value.get(key)
        if isinstance(text, list):
            bodies = [entry.get("body") for entry in text if isinstance(entry, Mapping)]
            text = next((body for body in bodies if isinstance(body, str)), None)
        if isinstance(text, str):
            return clean(text)
    return None
