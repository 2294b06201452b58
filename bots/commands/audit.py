"""``rialto audit``: the log of every decision about money."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from appservice.commands.common import Exit, UsageError, add_config, add_data, add_json, load, print_json, say, warn

if TYPE_CHECKING:
    from bridge.audit import Anchor, Audit, AuditEntry

T = TypeVar("T")


def add(commands: Any) -> None:
    """Add the parsers."""
    parser = commands.add_parser("audit", help="the log of every decision about money", description=__doc__)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    verify = actions.add_parser("verify", help="prove that nothing was changed", description=_verify.__doc__)
    verify.add_argument(
        "--noted", metavar="NUMBER:DIGEST", help="an end of the log that was noted before: it must still be in it"
    )
    verify.set_defaults(handler=_verify)
    listing = actions.add_parser("list", help="entries, the last first", description=_list.__doc__)
    listing.add_argument("--subject", metavar="NAME", help="about whom or what: @user:server, payment:ID")
    listing.add_argument("--actor", metavar="NAME", help="by whom: @user:server, bot:NAME, operator, system")
    listing.add_argument("-n", "--limit", type=int, default=100, metavar="N", help="N of them at most (100)")
    listing.add_argument("--before", type=int, metavar="NUMBER", help="those before an entry: the next page")
    listing.add_argument("--details", action="store_true", help="what is sealed in them, too")
    listing.set_defaults(handler=_list)
    export = actions.add_parser("export", help="all entries as JSON lines", description=_export.__doc__)
    export.set_defaults(handler=_export)
    for action in (listing, export):
        action.add_argument("--since", metavar="DATE", help="from a day on, or a time: 2026-03-01[T12:00] (UTC)")
        action.add_argument("--until", metavar="DATE", help="to a day, it included, or to before a time (UTC)")
    for action in actions.choices.values():
        add_config(action)
        add_data(action)
        add_json(action)


def _with_audit(arguments: argparse.Namespace, work: Callable[[Audit], Awaitable[T]]) -> T:
    from appservice.database import open_database
    from appservice.sealing import Sealer
    from bridge.audit import Audit

    _, config = load(arguments)

    async def run() -> T:
        database = open_database(config.database.url, pool_size=1)
        await database.start()
        try:
            sealer = Sealer(config.encryption.pickle_key.get_secret_value(), "payments")
            return await work(Audit(database, sealer))
        finally:
            await database.stop()

    return asyncio.run(run())


def _verify(arguments: argparse.Namespace) -> int:
    """Go through the whole log: each entry follows the one before, and nothing was changed, taken out or put in.

    Note the end that it names where nobody writes who can write to the database, and hand it back by --noted: a log
    that was made anew as a whole shows by nothing else.
    """
    anchor = _anchor(arguments.noted)
    report = _with_audit(arguments, lambda audit: audit.verify(anchor=anchor))
    end = f"{report.head.seq}:{report.head.digest.hex()}"
    if arguments.json:
        problems = [{"seq": each.seq, "fault": each.fault.value} for each in report.problems]
        print_json({"whole": report.whole, "entries": report.entries, "head": end, "problems": problems})
    else:
        for problem in report.problems:
            say(f"entry {problem.seq}: {_FAULTS[problem.fault.value]}")
        say(f"{report.entries} entries, {len(report.problems)} problems; the end is {end}")
    return Exit.OK if report.whole else Exit.FAILED


_FAULTS = {
    "missing": "entries before it are missing",
    "broken": "it does not follow the entry before: something was put in, taken out or exchanged",
    "changed": "it was changed",
    "actor": "its actor was changed",
    "subject": "its subject was changed",
    "details": "its details were changed or taken out",
    "erasure": "it has a pseudonym that no erasure gave",
    "head": "the log does not end, or does not pass, where it should",
}


def _list(arguments: argparse.Namespace) -> int:
    """List entries, the last first. Their details are shown with --details only."""
    if arguments.limit < 1:
        raise UsageError("--limit is 1 or more")
    since, until = _time(arguments.since), _time(arguments.until, end=True)

    async def work(audit: Audit) -> list[AuditEntry]:
        return await audit.list(
            subject=arguments.subject,
            actor=arguments.actor,
            since=since,
            until=until,
            before=arguments.before,
            limit=arguments.limit,
        )

    found = _with_audit(arguments, work)
    if arguments.json:
        print_json([_fields(entry, arguments.details) for entry in found])
        return Exit.OK
    for entry in found:
        line = (
            f"{entry.seq:>8}  {_when(entry.at)}  {entry.outcome:<16}  {entry.action}  {entry.actor} → {entry.subject}"
        )
        say(f"{line}  {_details(entry)}" if arguments.details else line)
    if not found:
        say("no entries")
    return Exit.OK


def _export(arguments: argparse.Namespace) -> int:
    """Write entries with their details to standard output, the first first: one JSON object on a line, or with --json
    one list."""
    since, until = _time(arguments.since), _time(arguments.until, end=True)

    async def work(audit: Audit) -> int:
        count = 0
        if arguments.json:
            sys.stdout.write("[")
        async for line in audit.export(since=since, until=until):
            text = line.decode()
            sys.stdout.write((",\n" if count else "\n") + text.rstrip("\n") if arguments.json else text)
            count += 1
        if arguments.json:
            sys.stdout.write("\n]\n")
        sys.stdout.flush()
        return count

    count = _with_audit(arguments, work)
    warn(f"{count} entries")
    return Exit.OK


def _anchor(text: str | None) -> Anchor | None:
    from bridge.audit import Anchor

    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text.strip().lower())
    if found is None:
        raise UsageError("--noted is the end that “rialto audit verify” named: NUMBER:DIGEST")
    return Anchor(int(found[1]), bytes.fromhex(found[2]))


def _time(text: str | None, *, end: bool = False) -> int | None:
    """A day or a point in time in UTC, as ms since the epoch; the end of the day where one is meant."""
    if text is None:
        return None
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            moment = day + timedelta(days=1) if end else day
        else:
            moment = datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise UsageError(f"{text} is no day such as 2026-03-01, and no time such as 2026-03-01T12:00") from None


def _when(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _details(entry: AuditEntry) -> str:
    from appservice import json

    return "(dropped)" if entry.details is None else json.dumps(dict(entry.details)).decode()


def _fields(entry: AuditEntry, details: bool) -> dict[str, Any]:
    from bridge.audit import fields

    found = {**fields(entry), "at": _when(entry.at)}
    if not details:
        del found["details"]
    return found
