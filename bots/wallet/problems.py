"""What the wallet refuses, and how it says so: here what the person wrote, aside what only they should read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bots.framework import Context, InvalidValue
from bots.framework.arguments import ArgumentError
from bots.wallet.chats import Hearer, aside


class Discreet(InvalidValue):
    """A refusal that tells of somebody's money: it is said in their own chat, whatever room they wrote in."""


class Worded(Protocol):
    """Refusals of the services: a code and a sentence."""

    @property
    def code(self) -> str: ...

    @property
    def msgid(self) -> str: ...

    @property
    def values(self) -> Mapping[str, Any]: ...


def discreet(refusal: Worded) -> Discreet:
    """A service's refusal."""
    return Discreet(refusal.code, refusal.msgid, clear=True, **refusal.values)


async def explain(ctx: Context, problem: InvalidValue | ArgumentError, example: str = "") -> None:
    """Say what is wrong, and how it is written."""
    if isinstance(problem, Discreet):
        hearer: Hearer = await aside(ctx)
        hearer.tell(ctx, problem.say(hearer.texts))
        return
    text = problem.say(ctx.translator)
    if example:
        text += "\n" + ctx.t("For example: {example}", example=example)
    ctx.say(text)
