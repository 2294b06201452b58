"""What the benchmarks share: candidates as processes, statistics, tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from tests.support.fake_client_api import Device
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.service_process import ServiceProcess, free_port, write_config

Stage = tuple[FakeHomeserver, ServiceProcess, list[str]]
BOT = "@echo:localhost"
HUMAN = "@alice:localhost"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that echoes: its name, and how to make its process for a homeserver, port and folder."""

    name: str
    make: Callable[[FakeHomeserver, int, Path], ServiceProcess]


def rialto(name: str = "rialto", database: str | None = None, **sections: dict[str, Any]) -> Candidate:
    """Rialto with the echo bot alone, on SQLite or on the database of the URL."""

    def make(homeserver: FakeHomeserver, port: int, folder: Path) -> ServiceProcess:
        config = write_config(
            folder,
            homeserver_url=homeserver.url,
            port=port,
            as_token=homeserver.as_token,
            hs_token=homeserver.hs_token,
            database=database,
            sections=sections,
        )
        # As an operator does before a first start; the migration tool is not loaded by a start that needs none.
        migrate = [sys.executable, "-m", "appservice.cli", "migrate", "-c", str(config)]
        subprocess.run(migrate, check=True, stdout=subprocess.DEVNULL)
        return ServiceProcess.rialto(config)

    return Candidate(name, make)


def mautrix(synchronous: bool) -> Candidate:
    """mautrix-python's own AppService, with handlers run in the background or one after the other."""

    def make(homeserver: FakeHomeserver, port: int, folder: Path) -> ServiceProcess:
        arguments = [sys.executable, "-m", "benchmarks.peers.mautrix_echo", "--homeserver", homeserver.url]
        arguments += ["--port", str(port), "--as-token", homeserver.as_token, "--hs-token", homeserver.hs_token]
        arguments += ["--state", str(folder / "state.json")] + (["--synchronous"] if synchronous else [])
        return ServiceProcess(arguments, folder / "peer.log")

    return Candidate("mautrix synchronous" if synchronous else "mautrix", make)


@contextlib.contextmanager
def stage(
    candidate: Candidate, rooms: int, **options: Any
) -> Iterator[tuple[FakeHomeserver, ServiceProcess, list[str]]]:
    """A fake homeserver with rooms that the bot has joined, and the candidate's process, not yet started."""
    with tempfile.TemporaryDirectory(prefix="rialto-benchmark-") as name:
        port = free_port()
        homeserver = FakeHomeserver(appservice_port=port, port=free_port(), **options)
        homeserver.api.account(BOT).devices["PEER"] = Device("PEER")
        room_ids = [homeserver.add_room([HUMAN, BOT]).room_id for _ in range(rooms)]
        with candidate.make(homeserver, port, Path(name)) as process:
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
