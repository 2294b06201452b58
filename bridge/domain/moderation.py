"""Reports of people and messages, what is decided about them, and appeals. Pure; state machines are tables."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

MOST_REASON: Final = 1_000
"""Characters of a reason, of a moderator's word, of an appeal."""
MOST_EVIDENCE: Final = 10
"""Messages that a reporter may share with one report."""
MOST_EVIDENCE_TEXT: Final = 4_000
LONGEST_MUTE_S: Final = 366 * 86_400


class State(StrEnum):
    """Where a report stands."""

    OPEN = "open"
    """It waits for a moderator."""
    ACTING = "acting"
    """It is decided, and what was decided is being done: after a crash too."""
    DONE = "done"


class Step(StrEnum):
    """What happens to a report."""

    DECIDE = "decide"
    FINISH = "finish"
    FAIL = "fail"
    """What was decided cannot be done: somebody has to decide anew."""


NEXT: Final[Mapping[tuple[State, Step], State]] = MappingProxyType(
    {
        (State.OPEN, Step.DECIDE): State.ACTING,
        (State.ACTING, Step.FINISH): State.DONE,
        (State.ACTING, Step.FAIL): State.OPEN,
    }
)
"""What is not in it cannot happen."""


class Action(StrEnum):
    """What a moderator decides."""

    DISMISS = "dismiss"
    """Nothing was wrong."""
    WARN = "warn"
    """The person is told."""
    MUTE = "mute"
    """They do not write in the chat for a time."""
    REMOVE = "remove"
    """The message goes, for everybody."""
    BAN = "ban"
    """They are out of the chat, for good."""
    SUSPEND = "suspend"
    """Their account may read and leave, and nothing else, in all chats."""


class Needs(StrEnum):
    """What an action is done to."""

    CHAT = "chat"
    MESSAGE = "message"
    ACCOUNT = "account"
    """An account of our own homeserver."""


NEEDS: Final[Mapping[Action, Needs | None]] = MappingProxyType(
    {
        Action.DISMISS: None,
        Action.WARN: None,
        Action.MUTE: Needs.CHAT,
        Action.REMOVE: Needs.MESSAGE,
        Action.BAN: Needs.CHAT,
        Action.SUSPEND: Needs.ACCOUNT,
    }
)

UNDONE: Final = frozenset({Action.MUTE, Action.BAN, Action.SUSPEND})
"""What an appeal that is granted undoes. A word cannot be unsaid, and a message that is removed is gone."""


class SuspensionState(StrEnum):
    """Where a product's suspension of an account stands."""

    SUSPENDING = "suspending"
    """It is decided, and the homeserver does not know of it yet."""
    SUSPENDED = "suspended"
    LIFTING = "lifting"
    """It is over, and the homeserver does not know of that yet. Then it is no more."""


class SuspensionStep(StrEnum):
    """What happens to it."""

    SUSPEND = "suspend"
    LIFT = "lift"
    FINISH = "finish"


NEXT_SUSPENSION: Final[Mapping[tuple[SuspensionState | None, SuspensionStep], SuspensionState | None]] = (
    MappingProxyType(
        {
            (None, SuspensionStep.SUSPEND): SuspensionState.SUSPENDING,
            (SuspensionState.LIFTING, SuspensionStep.SUSPEND): SuspensionState.SUSPENDING,
            (SuspensionState.SUSPENDING, SuspensionStep.FINISH): SuspensionState.SUSPENDED,
            (SuspensionState.SUSPENDING, SuspensionStep.LIFT): SuspensionState.LIFTING,
            (SuspensionState.SUSPENDED, SuspensionStep.LIFT): SuspensionState.LIFTING,
            (SuspensionState.LIFTING, SuspensionStep.FINISH): None,
        }
    )
)
"""None: there is none. What is not in it changes nothing."""


class AppealState(StrEnum):
    """Where an appeal stands."""

    OPEN = "open"
    UNDOING = "undoing"
    """It is granted, and what was done is being undone."""
    GRANTED = "granted"
    REFUSED = "refused"


class AppealStep(StrEnum):
    """What happens to an appeal."""

    GRANT = "grant"
    REFUSE = "refuse"
    FINISH = "finish"


NEXT_APPEAL: Final[Mapping[tuple[AppealState, AppealStep], AppealState]] = MappingProxyType(
    {
        (AppealState.OPEN, AppealStep.GRANT): AppealState.UNDOING,
        (AppealState.OPEN, AppealStep.REFUSE): AppealState.REFUSED,
        (AppealState.UNDOING, AppealStep.FINISH): AppealState.GRANTED,
    }
)


class Impossible(ValueError):
    """This cannot happen to a report or an appeal in the state that it is in."""


def advance(state: State, step: Step) -> State:
    """The state after a step.

    Raises:
        Impossible: there is no such step from there.
    """
    found = NEXT.get((state, step))
    if found is None:
        raise Impossible(f"{step} of a report that is {state}")
    return found


def advance_appeal(state: AppealState, step: AppealStep) -> AppealState:
    """The state after a step.

    Raises:
        Impossible: there is no such step from there.
    """
    found = NEXT_APPEAL.get((state, step))
    if found is None:
        raise Impossible(f"{step} of an appeal that is {state}")
    return found


def possible(action: Action, *, chat: bool, event: bool, local: bool) -> bool:
    """Whether an action can be done about a target.

    Args:
        chat: it is in a chat of ours.
        event: it is a message.
        local: the person's account is on our own homeserver.
    """
    needs = NEEDS[action]
    if needs is Needs.CHAT:
        return chat
    if needs is Needs.MESSAGE:
        return chat and event
    return local if needs is Needs.ACCOUNT else True


def target_of(room_id: str, event_id: str, subject: str) -> str:
    """What a report is about, as a key: reports of the same are decided together.

    Args:
        subject: whom it is about. A message is the same whoever is named beside it.
    """
    return f"{room_id} {event_id}" if event_id else f"{room_id} {subject}"
