"""``rialto people``: tiers and limits of somebody, holding their wallet, all their data, forgetting them."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from appservice.commands.common import Exit, UsageError, add_config, add_data, add_json, load, print_json, say, warn

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bots.payments.guard import Guard
    from bots.payments.ledger import Account, Ledger
    from bridge.audit import Audit
    from bridge.domain.rights import Obstacle
    from bridge.rights.service import RightsService
    from bridge.store.rights import Request

T = TypeVar("T")
OPERATOR = "operator"
POLL_S = 0.2
UNFINISHED = frozenset({"waiting", "running"})
PROBLEMS = {
    "account_open": "their account is not closed: it is of another homeserver, or homeserver.admin_token is none",
    "chat_out_of_reach": "in a chat in which Rialto has no power any more what they said stays",
}
"""What an erasure could not reach, by its code."""


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser("people", help="tiers, holds, data and erasure of people", description=__doc__)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    handlers = {
        "show": (_show, "tier, limits, freezes and balances"),
        "tier": (_tier, "move somebody to another tier of limits"),
        "hold": (_hold, "let nothing leave a wallet"),
        "release": (_release, "end a hold"),
        "export": (_export, "all that is held about somebody, as a zip file"),
        "erase": (_erase, "forget who somebody was, everywhere; the books stay whole"),
    }
    for name, (handler, words) in handlers.items():
        action = actions.add_parser(name, help=words, description=handler.__doc__)
        action.add_argument("person", metavar="@USER:SERVER")
        action.set_defaults(handler=handler)
        if name == "tier":
            action.add_argument("tier", type=int, metavar="TIER", help="its place in payments.tiers, from 0")
        if name == "export":
            action.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (default: NAME.zip)")
        if name == "erase":
            action.add_argument("--yes", action="store_true", help="do it: it cannot be taken back")
            action.add_argument(
                "--wait", type=float, default=600, metavar="SECONDS", help="how long to wait for it (default: 600)"
            )
        add_config(action)
        add_data(action)
        add_json(action)


@dataclass(frozen=True, slots=True)
class _Office:
    """What the commands work with."""

    guard: Guard
    audit: Audit
    ledger: Ledger
    currency: str
    write: Callable[[Callable[[Connection], Any]], Awaitable[Any]]
    read: Callable[[Callable[[Connection], Any]], Awaitable[Any]]
    now: int

    async def decide(
        self, person: str, action: str, outcome: str, work: Callable[[Connection], Any], **details: Any
    ) -> None:
        """Do something and note it in the audit log, in one commit."""

        def both(connection: Connection) -> None:
            work(connection)
            self.audit.append(
                connection,
                at=self.now,
                actor=OPERATOR,
                action=action,
                subject=person,
                outcome=outcome,
                details=details,
            )

        await self.write(both)


def _with_office(arguments: argparse.Namespace, work: Callable[[_Office], Awaitable[T]]) -> T:
    from appservice.database import open_database
    from appservice.sealing import Sealer
    from bots.framework.clock import SystemClock
    from bots.payments.guard import Guard
    from bots.payments.ledger import Ledger
    from bridge.audit import Audit

    _check(arguments.person)
    _, config = load(arguments)
    key = config.encryption.pickle_key.get_secret_value()

    async def run() -> T:
        database, clock = open_database(config.database.url, pool_size=1), SystemClock()
        await database.start()
        try:
            guard, ledger = Guard.of(config.payments), Ledger(database, clock)
            audit = Audit(database, Sealer(key, "payments"))
            currency = config.payments.default_currency
            return await work(_Office(guard, audit, ledger, currency, database.write, database.read, clock.now_ms()))
        finally:
            await database.stop()

    return asyncio.run(run())


def _with_rights(arguments: argparse.Namespace, work: Callable[[RightsService, bool], Awaitable[T]]) -> T:
    from appservice.main import people_rights

    _check(arguments.person)
    _, config = load(arguments)

    async def run() -> T:
        async with people_rights(config) as (rights, alone):
            return await work(rights, alone)

    return asyncio.run(run())


def _check(person: str) -> None:
    if not re.fullmatch(r"@[^:\s]+:\S+", person):
        raise UsageError(f"{person} is no user id such as @alice:example.org")


def _show(arguments: argparse.Namespace) -> int:
    """Show somebody's tier, what is left of their limits, freezes, and what is in their wallet."""
    from bots.domain.money import Money

    async def work(office: _Office) -> tuple[Any, list[Account]]:
        accounts = await office.ledger.accounts(arguments.person)
        balance = next((each.balance for each in accounts if each.currency == office.currency), None)
        held = balance or Money.zero(office.currency)
        standing = await office.read(lambda c: office.guard.standing(c, arguments.person, held, office.now))
        return standing, accounts

    standing, accounts = _with_office(arguments, work)
    balances = [{"currency": each.currency, "balance": f"{each.balance.amount:f}"} for each in accounts]
    limits = [
        {"limit": each.name, "of": str(each.limit), "left": str(each.left), "resets": each.resets}
        for each in standing.allowances
    ]
    if arguments.json:
        found = {"person": arguments.person, "tier": standing.tier, "frozen": standing.frozen, "held": standing.held}
        print_json({**found, "balances": balances, "limits": limits, "left_this_hour": standing.per_hour_left})
        return Exit.OK
    say(f"tier {standing.tier}{', frozen' if standing.frozen else ''}{', held' if standing.held else ''}")
    for each in balances:
        say(f"balance       {each['balance']} {each['currency']}")
    for line in limits:
        until = f" until {line['resets']:%Y-%m-%d %H:%M} UTC" if line["resets"] else ""
        say(f"{line['limit']:<13} {line['left']} of {line['of']} left{until}")
    say(f"{'per_hour':<13} {standing.per_hour_left} of {standing.per_hour} left")
    return Exit.OK


def _tier(arguments: argparse.Namespace) -> int:
    """Move somebody to another tier of limits."""
    person, tier = arguments.person, arguments.tier

    async def work(office: _Office) -> None:
        try:
            await office.decide(
                person, "guard.tier", "set", lambda c: office.guard.set_tier(c, person, tier, office.now), tier=tier
            )
        except ValueError as error:
            raise UsageError(str(error)) from None

    _with_office(arguments, work)
    return _done(arguments, {"tier": tier}, f"{person} is in tier {tier}")


def _hold(arguments: argparse.Namespace) -> int:
    """Let nothing leave somebody's wallet until it is released. What comes in still comes in."""
    person = arguments.person

    async def work(office: _Office) -> None:
        await office.decide(
            person, "guard.hold", "held", lambda c: office.guard.freeze(c, person, OPERATOR, office.now)
        )

    _with_office(arguments, work)
    return _done(arguments, {"held": True}, f"the wallet of {person} is held")


def _release(arguments: argparse.Namespace) -> int:
    """End a hold. What the person has frozen stays frozen."""
    person = arguments.person

    async def work(office: _Office) -> None:
        await office.decide(
            person, "guard.release", "released", lambda c: office.guard.unfreeze(c, person, OPERATOR, office.now)
        )

    _with_office(arguments, work)
    return _done(arguments, {"held": False}, f"the wallet of {person} is held no more")


def _export(arguments: argparse.Namespace) -> int:
    """Write all that is held about somebody into a zip file: by the messenger, bots, money, and the homeserver. Give it
    to nobody else.

    How far it is stands on standard error.
    """
    from bridge.actor import SYSTEM

    person = arguments.person
    file: Path = arguments.output or Path(re.sub(r"[^A-Za-z0-9._-]+", "-", person.strip("@")) + ".zip")

    async def work(rights: RightsService, _alone: bool) -> bytes:
        return await rights.export(person, _Progress(arguments.json), SYSTEM)

    data = _with_rights(arguments, work)
    file.touch(mode=0o600)
    file.write_bytes(data)
    return _done(arguments, {"file": str(file), "bytes": len(data)}, f"{file}: {len(data)} bytes")


def _erase(arguments: argparse.Namespace) -> int:
    """Forget who somebody was: what they said is redacted, their account is closed, all that is held about them goes.
    Where others need the row a random pseudonym takes their place; the books stay whole.

    Refused while there is money in their wallet or on its way, while something of theirs is open, while the wallet is
    held, and while a chat of theirs is under a legal hold. Without --yes it only says whether it would be done. A
    service that runs does it, within a minute; where none runs this command does. How far it is stands on standard
    error; what comes late is erased by the service, for a day.
    """
    from bridge.actor import SYSTEM
    from bridge.rights.service import ErasureRefused

    person = arguments.person

    async def work(rights: RightsService, alone: bool) -> Request | Sequence[Obstacle]:
        if not arguments.yes:
            return await rights.obstacles(person)
        try:
            request = await rights.erase(person, SYSTEM)
        except ErasureRefused as refused:
            return refused.obstacles
        return await _followed(rights, request, alone, _Progress(arguments.json), arguments.wait)

    found = _with_rights(arguments, work)
    if isinstance(found, Sequence):
        if arguments.json:
            print_json({"erased": False, "obstacles": [each.code for each in found]})
        for each in () if arguments.json else found:
            say(each.human)
        if not found and not arguments.json:
            say(f"{person} can be erased: say --yes. It cannot be taken back.")
        return Exit.FAILED if found else Exit.OK
    return _say_erased(arguments, found)


async def _followed(
    rights: RightsService, request: Request, alone: bool, progress: _Progress, patience: float
) -> Request:
    """Wait until somebody is erased, or it failed, or for so many seconds; the request as it then is."""
    doing = asyncio.create_task(rights.carry_out(request.id)) if alone else None
    deadline = time.monotonic() + patience
    try:
        while request.state in UNFINISHED and time.monotonic() < deadline:
            over = doing is not None and doing.done()
            if not over:
                await asyncio.sleep(POLL_S)
            request = await rights.get(request.id) or request
            progress(request.done, request.total, request.stage)
            if over:
                break  # as far as it can be done now
    finally:
        if doing is not None:
            doing.cancel()
            await asyncio.wait([doing])
    if doing is not None and not doing.cancelled():
        doing.result()
    return request


def _say_erased(arguments: argparse.Namespace, request: Request) -> int:
    from bridge.domain.rights import State

    problems = (request.problem or "").split(",") if request.problem else []
    erased = request.state in {State.SWEEPING, State.DONE}
    if arguments.json:
        fields = {"erased": erased, "state": request.state.value, "problems": problems}
        print_json({"person": arguments.person, **fields} | ({"pseudonym": request.person} if erased else {}))
    elif erased:
        say(f"{arguments.person} is {request.person} now")
        for each in problems:
            say(PROBLEMS.get(each, each))
    elif request.state is State.FAILED:
        say(f"{arguments.person} was not erased: {request.problem}")
    else:
        say(f"{arguments.person} is not erased yet; the service goes on with it when it can ({request.state.value})")
    return Exit.OK if erased else Exit.FAILED


class _Progress:
    """Says on standard error how far something is: a line for people, or a JSON object a line."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._last: tuple[int, int, str] = (0, 0, "")

    def __call__(self, done: int, total: int, stage: str) -> None:
        if not total or (done, total, stage) == self._last:
            return
        self._last = (done, total, stage)
        if self._json:
            warn(json.dumps({"done": done, "total": total, "stage": stage}))
        else:
            warn(f"{done} of {total}{': ' + stage if stage else ''}")


def _done(arguments: argparse.Namespace, fields: dict[str, Any], words: str) -> int:
    if arguments.json:
        print_json({"person": arguments.person, **fields})
    else:
        say(words)
    return Exit.OK
