"""``rialto people``: what money knows of somebody, their tier, holding their wallet, their data, forgetting them."""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from appservice.commands.common import Exit, UsageError, add_config, add_data, add_json, load, print_json, say

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bots.payments.guard import Guard
    from bots.payments.ledger import Account, Ledger
    from bots.payments.rights import Rights
    from bridge.audit import Audit

T = TypeVar("T")
OPERATOR = "operator"


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser("people", help="tiers, holds, data and erasure of people", description=__doc__)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    handlers = {
        "show": (_show, "tier, limits, freezes and balances"),
        "tier": (_tier, "move somebody to another tier of limits"),
        "hold": (_hold, "let nothing leave a wallet"),
        "release": (_release, "end a hold"),
        "export": (_export, "all that money knows of somebody, as a zip file"),
        "erase": (_erase, "forget who somebody was; the books stay whole"),
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
        add_config(action)
        add_data(action)
        add_json(action)


@dataclass(frozen=True, slots=True)
class _Office:
    """What the commands work with."""

    guard: Guard
    audit: Audit
    ledger: Ledger
    rights: Rights
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
    from bots.payments.rights import Rights
    from bots.payments.rights_parts import MONEY_BOTS, register_parts
    from bridge.audit import Audit

    if not re.fullmatch(r"@[^:\s]+:\S+", arguments.person):
        raise UsageError(f"{arguments.person} is no user id such as @alice:example.org")
    _, config = load(arguments)
    key = config.encryption.pickle_key.get_secret_value()

    async def run() -> T:
        database, clock = open_database(config.database.url, pool_size=1), SystemClock()
        await database.start()
        try:
            guard, ledger = Guard.of(config.payments), Ledger(database, clock)
            audit = Audit(database, Sealer(key, "payments"))
            rights = Rights(database, clock, ledger, guard, audit)
            register_parts(rights, key, [bot.instance for bot in config.bots if bot.plugin in MONEY_BOTS])
            currency = config.payments.default_currency
            return await work(
                _Office(guard, audit, ledger, rights, currency, database.write, database.read, clock.now_ms())
            )
        finally:
            await database.stop()

    return asyncio.run(run())


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
    """Write all that money knows of somebody into a zip file: each table as JSON and as CSV. Give it to nobody else."""
    person = arguments.person
    file: Path = arguments.output or Path(re.sub(r"[^A-Za-z0-9._-]+", "-", person.strip("@")) + ".zip")

    async def work(office: _Office) -> bytes:
        data = await office.rights.export(person)
        await office.decide(person, "rights.export", "done", lambda _c: None)
        return data

    data = _with_office(arguments, work)
    file.touch(mode=0o600)
    file.write_bytes(data)
    return _done(arguments, {"file": str(file), "bytes": len(data)}, f"{file}: {len(data)} bytes")


def _erase(arguments: argparse.Namespace) -> int:
    """Forget who somebody was: a random pseudonym takes their place, what they wrote goes, the books stay whole.

    Refused while there is money in their wallet or on its way, while something of theirs is open, and while the wallet
    is held. Without --yes it only says whether it would be done.
    """
    person = arguments.person

    async def work(office: _Office) -> str | None:
        obstacles = await office.rights.obstacles(person)
        if obstacles or not arguments.yes:
            if arguments.json:
                print_json({"erased": False, "obstacles": [each.code for each in obstacles]})
            for each in () if arguments.json else obstacles:
                say(each.human)
            if not obstacles and not arguments.json:
                say(f"{person} can be erased: say --yes. It cannot be taken back.")
            return None if obstacles else ""
        return await office.rights.erase(person, OPERATOR)

    name = _with_office(arguments, work)
    if not name:
        return Exit.FAILED if name is None else Exit.OK
    return _done(arguments, {"erased": True, "pseudonym": name}, f"{person} is {name} now")


def _done(arguments: argparse.Namespace, fields: dict[str, Any], words: str) -> int:
    if arguments.json:
        print_json({"person": arguments.person, **fields})
    else:
        say(words)
    return Exit.OK
