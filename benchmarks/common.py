"""What the benchmarks share: candidates as processes, statistics, tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.peers import scratch
from tests.support.fake_client_api import Device
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.service_process import ServiceProcess, free_port

Stage = tuple[FakeHomeserver, ServiceProcess, list[str]]
BOT = "@echo:localhost"
HUMAN = "@alice:localhost"
PEER_PROGRAMS = Path(scratch.__file__).parent


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that echoes: its name, and how to make its process for a homeserver and a folder."""

    name: str
    make: Callable[[FakeHomeserver, Path], ServiceProcess]


def rialto(name: str = "rialto", database: str | None = None, **sections: dict[str, Any]) -> Candidate:
    """Rialto with the echo bot alone, on SQLite or on the database of the URL."""

    def make(homeserver: FakeHomeserver, folder: Path) -> ServiceProcess:
        service = ServiceProcess.rialto(folder, homeserver, database=database, sections=sections)
        # As an operator does before a first start; the migration tool is not loaded by a start that needs none.
        migrate = [sys.executable, "-m", "appservice.cli", "migrate", "-c", str(folder / "config.yaml")]
        subprocess.run(migrate, check=True, stdout=subprocess.DEVNULL)
        return service

    return Candidate(name, make)


def mautrix(synchronous: bool) -> Candidate:
    """mautrix-python's own AppService, with handlers run in the background or one after the other."""

    def make(homeserver: FakeHomeserver, folder: Path) -> ServiceProcess:
        arguments = [sys.executable, "-m", "benchmarks.peers.mautrix_echo", "--homeserver", homeserver.url]
        arguments += [
            "--port",
            str(homeserver.appservice_port),
            "--as-token",
            homeserver.as_token,
            "--hs-token",
            homeserver.hs_token,
        ]
        arguments += ["--state", str(folder / "state.json")] + (["--synchronous"] if synchronous else [])
        return ServiceProcess(arguments, folder / "peer.log")

    return Candidate("mautrix synchronous" if synchronous else "mautrix", make)


def maubot() -> Candidate:
    """maubot's standalone mode, fed by appservice transactions."""

    def make(homeserver: FakeHomeserver, folder: Path) -> ServiceProcess:
        config = {
            "user": {
                "credentials": {"id": BOT, "homeserver": homeserver.url, "access_token": homeserver.as_token},
                "sync": False,
                "appservice": True,
                "hs_token": homeserver.hs_token,
                "displayname": "disable",
                "avatar_url": "disable",
            },
            "server": {"hostname": "127.0.0.1", "port": homeserver.appservice_port},
            "database": f"sqlite:{folder / 'maubot.db'}",
            "logging": {"version": 1, "root": {"level": "WARNING"}, "disable_existing_loggers": False},
        }
        path = folder / "maubot.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML
        meta = PEER_PROGRAMS / "maubot" / "maubot.yaml"
        arguments = [str(scratch.maubot_python()), "-m", "maubot.standalone", "-c", str(path), "-m", str(meta)]
        return ServiceProcess(arguments, folder / "peer.log")

    return Candidate("maubot", make)


def matrix_bot_sdk() -> Candidate:
    """matrix-bot-sdk's Appservice, on Node.js."""

    def make(homeserver: FakeHomeserver, folder: Path) -> ServiceProcess:
        options = {
            "modules": str(scratch.matrix_bot_sdk()),
            "homeserver": homeserver.url,
            "port": homeserver.appservice_port,
            "asToken": homeserver.as_token,
            "hsToken": homeserver.hs_token,
            "domain": homeserver.server_name,
            "localpart": BOT[1:].partition(":")[0],
            "sender": homeserver.sender[1:].partition(":")[0],
            "id": homeserver.service_id,
        }
        arguments = ["node", str(PEER_PROGRAMS / "matrix_bot_sdk" / "echo.js"), json.dumps(options)]
        return ServiceProcess(arguments, folder / "peer.log")

    return Candidate("matrix-bot-sdk", make)


PEERS: Mapping[str, Callable[[], list[Candidate]]] = {
    "mautrix": lambda: [mautrix(False), mautrix(True)],
    "maubot": lambda: [maubot()],
    "matrix-bot-sdk": lambda: [matrix_bot_sdk()],
}


def peer_option(options: argparse.ArgumentParser) -> None:
    """The option ``--peers``, for :func:`peers`."""
    options.add_argument("--peers", default="mautrix", help=f"beside Rialto: of {', '.join(PEERS)} (mautrix)")


def peers(names: str) -> list[Candidate]:
    """The candidates of ``--peers``, separated by commas."""
    wanted = [name for name in names.split(",") if name]
    if unknown := [name for name in wanted if name not in PEERS]:
        raise SystemExit(f"--peers: there is no {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return [candidate for name in wanted for candidate in PEERS[name]()]


@contextlib.contextmanager
def stage(candidate: Candidate, rooms: int, **options: Any) -> Iterator[Stage]:
    """A fake homeserver with rooms that the bot has joined, and the candidate's process, not yet started."""
    with tempfile.TemporaryDirectory(prefix="rialto-benchmark-") as name:
        homeserver = FakeHomeserver(appservice_port=free_port(), port=free_port(), **options)
        homeserver.api.account(BOT).devices["PEER"] = Device("PEER")
        room_ids = [homeserver.add_room([HUMAN, BOT]).room_id for _ in range(rooms)]
        with candidate.make(homeserver, Path(name)) as process:
            try:
                yield homeserver, process, room_ids
            except BaseException:
                print(process.log_tail(), file=sys.stderr)
                raise


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share (0 to 1) of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def deviation(values: Sequence[float]) -> float:
    """The median of the absolute deviations from the median (MAD)."""
    middle = statistics.median(values)
    return statistics.median([abs(value - middle) for value in values])


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A plain table: the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        return "  ".join([row[0].ljust(widths[0]), *rest]).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([title, line(cells[0]), rule, *(line(row) for row in cells[1:])])


def progress(text: str) -> None:
    """Say on standard error what is being done."""
    print(f"  … {text}", file=sys.stderr, flush=True)


def parser(doc: str | None, runs: int) -> argparse.ArgumentParser:
    """The options every benchmark has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    made.add_argument("--runs", type=int, default=runs, help=f"runs of each candidate ({runs})")
    made.add_argument("--only", help="only the candidates whose name contains this")
    return made


def chosen(candidates: Sequence[Candidate], only: str | None) -> list[Candidate]:
    """The candidates asked for."""
    return [candidate for candidate in candidates if not only or only in candidate.name]


def finish(as_json: bool, results: Sequence[Any], text: str) -> None:
    """Print the results (dataclasses) as JSON, or the text."""
    print(json.dumps([asdict(result) for result in results], indent=2) if as_json else text)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a benchmark in uvloop; Ctrl-C ends it with its processes."""
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main)
