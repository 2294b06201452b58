"""What a new chat is to be: checked, and as the homeserver is asked for it. Pure."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from bridge.domain import texts
from bridge.domain.kinds import CHAT_STATE, MEGOLM, PLANS, ROOM_VERSION, Kind, Plan, chat_state, power_levels
from bridge.domain.roles import Role
from bridge.domain.texts import BadText
from bridge.errors import Conflict, Refused

MOST_FIRST: Final = 100
"""People who are invited when a chat is made; more are added to it."""


@contextmanager
def checked() -> Iterator[None]:
    """Texts that cannot be used are refused."""
    try:
        yield
    except BadText as error:
        raise Refused(error.code, error.human) from error


@dataclass(frozen=True, slots=True)
class NewChat:
    """A chat to be."""

    kind: Kind
    name: str
    topic: str
    public: bool
    owner: str
    members: tuple[str, ...]
    alias: str
    plan: Plan

    @classmethod
    def of(
        cls,
        kind: Kind,
        *,
        name: str,
        topic: str = "",
        public: bool = False,
        owner: str = "",
        members: Sequence[str] = (),
        alias: str = "",
    ) -> NewChat:
        """Check it.

        Raises:
            Refused: something cannot be.
        """
        plan = PLANS.get((kind, public))
        if plan is None:
            raise Refused("kind_not_public", f"A {kind.value} chat is never public.", kind=kind.value)
        with checked():
            name = texts.line(name, empty=kind is Kind.DIRECT)
            topic = texts.prose(topic)
            alias = texts.alias(alias)
            owner = texts.user_id(owner) if owner else ""
            people = tuple(dict.fromkeys(texts.user_id(each) for each in members if each != owner))
        if alias and not public:
            raise Refused("alias_not_public", "Only a public chat has an alias; send an invite link instead.")
        if len(people) > MOST_FIRST:
            raise Refused("too_many_members", f"At most {MOST_FIRST} people are invited at once; add more afterwards.")
        if kind is Kind.DIRECT and (not owner or len(people) != 1):
            raise Refused("two_people", "A direct chat is of two people.")
        if kind is Kind.SERVICE and len({owner, *people} - {""}) != 1:
            raise Refused("one_person", "A service chat is of one person and a service.")
        return cls(kind, name, topic, public, owner, people, alias, plan)

    @property
    def people(self) -> tuple[str, ...]:
        """Who is invited."""
        return (self.owner, *self.members) if self.owner else self.members

    @property
    def roles(self) -> dict[str, Role]:
        """Who is more than a member."""
        roles = dict.fromkeys(self.members, self.plan.others) if self.plan.others else {}
        if self.owner:
            roles[self.owner] = self.plan.maker
        return {user_id: role for user_id, role in roles.items() if role is not None}

    def levels(self, steward: str) -> dict[str, Any]:
        """``m.room.power_levels``."""
        return power_levels(self.plan, steward, self.roles)

    def request(self, steward: str) -> dict[str, Any]:
        """The body of ``POST /createRoom``. Nobody is invited by it: we must know the room before they come."""
        state: dict[str, dict[str, Any]] = {
            "m.room.join_rules": {"join_rule": self.plan.join_rule},
            "m.room.history_visibility": {"history_visibility": self.plan.history},
            "m.room.guest_access": {"guest_access": "forbidden"},
            # The alias that the room is made under is for us to find it, and no name to be shown.
            "m.room.canonical_alias": {},
            CHAT_STATE: chat_state(self.kind, public=self.public),
        }
        if self.plan.encrypted:
            state["m.room.encryption"] = {"algorithm": MEGOLM}
        return {
            "preset": "private_chat",
            "room_version": ROOM_VERSION,
            "power_level_content_override": self.levels(steward),
            "initial_state": [{"type": kind, "state_key": "", "content": it} for kind, it in state.items()],
        } | {key: value for key, value in (("name", self.name), ("topic", self.topic)) if value}


def hidden_alias(steward: str, purpose: str) -> str:
    """The localpart of the alias that a room is made under: one purpose, one room, however often it is asked for."""
    digest = sha256(purpose.encode("utf-8", "surrogatepass")).digest()
    return f"{steward[1:].partition(':')[0]}_{b32encode(digest[:15]).decode().lower()}"


def public_alias(steward: str, server_name: str, word: str) -> str:
    """An alias that people choose, within the namespace that the homeserver lets us have aliases in."""
    return f"#{steward[1:].partition(':')[0]}_{word}:{server_name}"


def discussed() -> Conflict:
    """A channel has a discussion group, and no other can be made for it."""
    return Conflict("has_discussion", "This channel has a discussion group already.")


def taken(external_id: str) -> Conflict:
    """A product has a chat that it calls so."""
    return Conflict("external_id_taken", "There is a chat with this id already.", external_id=external_id)
