"""Whom people pay: whether somebody can be paid, and whom a person has saved, trusts, and could take for another."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Self

from pydantic import BaseModel

from appservice.config import Config
from appservice.homeserver import HomeserverError, path
from bots.framework import Context, InvalidValue, Key, State
from bots.framework.content import clean
from bots.framework.i18n import _, fold
from bots.wallet.lookalikes import lookalikes

MOST: Final = 200
"""Payees that a person saves at most."""
NAME: Final = 40
_COMPARED: Final = 500
"""People that a payee is compared with at most."""
_SHOWN: Final = 60


class Payee(BaseModel):
    """Somebody whom a person has saved. ``trusted``: no warning that they were never paid."""

    user_id: str
    name: str = ""
    trusted: bool = False


PAYEES: Final = Key("payees", list[Payee], default=[], secret=True)


async def names(state: State) -> dict[str, str]:
    """Saved payees: user ids by folded name."""
    return {fold(each.name): each.user_id for each in await state.get(PAYEES) if each.name}


async def trusted(state: State, user_id: str) -> bool:
    """Whether a person trusts a payee."""
    return any(each.user_id == user_id and each.trusted for each in await state.get(PAYEES))


async def save(state: State, user_id: str, name: str) -> None:
    """Save a payee under a name.

    Raises:
        InvalidValue: the name is another one's, or is none.
    """
    name = " ".join(clean(name).split())
    if not name or len(name) > NAME or any(char.isdigit() or char in "@#,;:" for char in name):
        raise InvalidValue("wallet.name", _("A name is one word or two, without numbers and marks."), clear=True)
    saved = await state.get(PAYEES)
    if any(fold(each.name) == fold(name) and each.user_id != user_id for each in saved):
        raise InvalidValue("wallet.name_taken", _("“{name}” is somebody else already."), clear=True, name=name)
    await _put(state, user_id, name=name)


async def trust(state: State, user_id: str, yes: bool) -> None:
    """Trust a payee, or not any more. Raises InvalidValue when there are too many."""
    await _put(state, user_id, trusted=yes)


async def forget(state: State, name: str) -> Payee | None:
    """Take a payee away by name or user id; whom, or None."""
    saved = await state.get(PAYEES)
    wanted = fold(name)
    gone = next((each for each in saved if wanted in {fold(each.name) or None, each.user_id.casefold()}), None)
    if gone is not None:
        await state.update(PAYEES, lambda before: [each for each in before if each.user_id != gone.user_id])
    return gone


async def _put(state: State, user_id: str, **changes: object) -> None:
    saved = await state.get(PAYEES)
    known = next((each for each in saved if each.user_id == user_id), None)
    if known is None and len(saved) >= MOST:
        raise InvalidValue("wallet.payees_full", _("You have saved {most} people, and I keep no more."), most=MOST)
    new = (known or Payee(user_id=user_id)).model_copy(update=changes)

    def put(before: list[Payee]) -> list[Payee]:
        others = [each for each in before if each.user_id != user_id]
        return sorted([*others, new], key=lambda each: fold(each.name or each.user_id))

    await state.update(PAYEES, put)


@dataclass(frozen=True, slots=True)
class Bot:
    """A bot of this service: the name of its instance, its user, and what people call it."""

    instance: str
    user_id: str
    name: str


class Registry:
    """Tells people from the service's bots, and knows what both are called."""

    def __init__(self, bots: Iterable[Bot]) -> None:
        self._bots = tuple(bots)
        self._users = {each.user_id: each for each in reversed(self._bots)}
        self._instances = {each.instance: each for each in self._bots}

    @classmethod
    def of(cls, config: Config) -> Self:
        """The bots of a configuration; a plugin that joins another bot is known by that bot's name."""
        server = config.homeserver.server_name
        users = {bot.localpart: bot for bot in config.users}
        found = [(bot, users.get(bot.localpart or bot.joins)) for bot in config.bots]
        return cls(
            Bot(bot.instance, f"@{user.localpart}:{server}", user.display_name or user.localpart)
            for bot, user in found
            if user is not None
        )

    def is_bot(self, user_id: str) -> bool:
        """Whether it is a bot of this service."""
        return user_id in self._users

    def merchant(self, owner: str) -> Bot | None:
        """The bot that an account "bot:INSTANCE" or "bot:INSTANCE/SUB" belongs to."""
        return self._instances.get(owner.removeprefix("bot:").partition("/")[0]) if owner.startswith("bot:") else None

    async def check(self, ctx: Context, user_id: str) -> str:
        """That somebody can pay or be paid by the person at hand; the name they show, "" for none.

        Raises:
            InvalidValue: it is the person themselves, a bot, or nobody the homeserver knows.
            HomeserverError: that is unknown now; the handler is run again.
        """
        if user_id == ctx.sender:
            raise InvalidValue("wallet.self", _("That is you yourself."), clear=True)
        members = await ctx.members()
        humans = await ctx.humans()
        if self.is_bot(user_id) or (user_id in members and user_id not in humans):
            raise InvalidValue(
                "wallet.bot", _("{person} is a bot. Bots ask for money themselves."), clear=True, person=user_id
            )
        try:
            profile = await ctx.services.homeserver.request(
                "GET", path("/_matrix/client/v3/profile", user_id), user_id=ctx.user_id
            )
        except HomeserverError as error:
            if error.temporary:
                raise
            if user_id in humans:  # some servers tell nothing of people
                return await self.name(ctx, user_id)
            raise InvalidValue(
                "wallet.unknown", _("There is nobody called {person}."), clear=True, person=user_id
            ) from None
        shown = profile.get("displayname") if isinstance(profile, dict) else None
        return display(shown) if isinstance(shown, str) else ""

    async def name(self, ctx: Context, user_id: str) -> str:
        """The name that somebody shows, as far as it is known; "" for none."""
        if (bot := self._users.get(user_id)) is not None:
            return bot.name
        try:
            shown = (await ctx.profile(user_id)).get("displayname")
        except HomeserverError:
            shown = None  # a name is not worth another try
        return display(shown) if isinstance(shown, str) else ""

    async def full(self, ctx: Context, owner: str) -> str:
        """Whose an account is, for people: “Bob (@bob:example.org)”. The id is what counts, so it is always there."""
        if (bot := self.merchant(owner)) is not None:
            return full(bot.user_id, bot.name)
        if not owner.startswith("@"):
            return owner.partition(":")[2] or owner
        return full(owner, await self.name(ctx, owner))


def full(user_id: str, name: str) -> str:
    """“Bob (@bob:example.org)”, or the id where there is no name, or one that pretends to be an id.

    Ids of other servers may hold any character but a colon (specification, "Historical User IDs"), line breaks too.
    """
    user_id = " ".join(clean(user_id).split())
    if not name or name == user_id:
        return user_id
    shown = name.replace("@", "").replace("(", "").replace(")", "").strip()
    return f"{shown} ({user_id})" if shown else user_id


def display(name: str) -> str:
    """A display name as it can stand in a sentence: one line, nothing that hides or turns, not too long."""
    line = " ".join(clean(name).split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


async def mistaken_for(ctx: Context, person: str, user_id: str, paid: Collection[str]) -> list[str]:
    """Of the people whom a person knows those that a payee could be taken for.

    Args:
        paid: whom they have had payments with.
    """
    saved = [each.user_id for each in await ctx.states.user(person).get(PAYEES)]
    here = await ctx.humans() if ctx.room_id.startswith("!") else []
    known = dict.fromkeys([*paid, *saved, *here, person])
    return lookalikes(user_id, list(known)[:_COMPARED])
