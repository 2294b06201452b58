"""``rialto up``: in the foreground, or leaving a supervisor in the background."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from appservice.config import Config, load_config
from appservice.local.accounts import take_unshown
from appservice.local.environment import Progress
from appservice.local.errors import StartFailed
from appservice.local.files import read_json
from appservice.local.inspect import status
from appservice.local.layout import Layout
from appservice.local.prepare import prepare
from appservice.local.process import ProcessId, tail
from appservice.local.supervisor import Supervisor, python_environ

DETACH_TIMEOUT = 180.0
INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, `rialto down`, a terminal that closes


class Steps:
    """Progress for people: a spinner with the step on a terminal, a line for each step elsewhere."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self._spinner = self.console.status("starting") if self.console.is_terminal else None

    def __enter__(self) -> Steps:
        if self._spinner is not None:
            self._spinner.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._spinner is not None:
            self._spinner.stop()

    def __call__(self, step: str) -> None:
        """Show a step."""
        if self._spinner is not None:
            self._spinner.update(escape(step))
        self.console.print(f"[dim]·[/dim] {escape(step)}")


async def _until_told(work: Callable[[asyncio.Event], Awaitable[int]]) -> int:
    """Run ``work`` with an event that SIGNALS set; a second signal cancels the work."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work(stop))

    def told() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, told)
    try:
        return await task
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def _unless_told(stop: asyncio.Event, work: Awaitable[object]) -> bool:
    """Await ``work``, or cancel it as soon as ``stop`` is set; whether it was finished."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            task.cancel()
        await asyncio.wait({task})
    finally:
        waiter.cancel()
        task.cancel()
    if task.cancelled():
        return False
    task.result()  # raises what the work raised
    return True


async def foreground(layout: Layout) -> int:
    """Start, show the table, watch until Ctrl-C, stop. Raises LocalError when the stack cannot be started."""
    if ProcessId.read(layout.pid_file("supervisor")) is not None:
        return await _show_running(layout)
    return await _until_told(lambda stop: _foreground(layout, stop))


async def _foreground(layout: Layout, stop: asyncio.Event) -> int:
    supervisor: Supervisor | None = None

    async def start(steps: Progress) -> None:
        nonlocal supervisor
        prepared = await prepare(layout, steps)
        supervisor = Supervisor(prepared, steps)
        await supervisor.start()

    with layout.locked():
        with Steps() as steps:
            if not await _unless_told(stop, start(steps)):
                steps("stopped before everything ran; `rialto up` goes on from here")
                return INTERRUPTED
        assert supervisor is not None
        show_table(steps.console, layout, load_config(layout.config))
        steps.console.print("[dim]Ctrl-C stops everything.[/dim]")
        try:
            await supervisor.watch(stop)
        finally:
            steps.console.print("[dim]·[/dim] stopping")
            await supervisor.stop()
    return 0


async def supervise(layout: Layout) -> int:
    """The background process of ``--detach``: start, watch until SIGTERM, stop. Lines go to its log."""

    def line(step: str) -> None:
        sys.stdout.write(step + "\n")
        sys.stdout.flush()

    async def work(stop: asyncio.Event) -> int:
        with layout.locked():
            supervisor = Supervisor(await prepare(layout, line), line)
            if not await _unless_told(stop, supervisor.start()):
                return INTERRUPTED
            try:
                await supervisor.watch(stop)
            finally:
                line("stopping")
                await supervisor.stop()
        return 0

    return await _until_told(work)


async def detached(layout: Layout) -> int:
    """Leave a supervisor in the background and return when everything is ready. Raises LocalError."""
    if ProcessId.read(layout.pid_file("supervisor")) is not None:
        return await _show_running(layout)
    with Steps() as steps:
        with layout.locked():  # the long part of a first run, with its progress, happens here
            prepared = await prepare(layout, steps)
            layout.state.unlink(missing_ok=True)
        log = layout.logs / "supervisor.log"
        begin = log.stat().st_size if log.exists() else 0
        await _wait_running(layout, _spawn(layout, log), log, begin, steps)
    show_table(steps.console, layout, prepared.config)
    steps.console.print("[dim]It runs in the background: rialto status, rialto logs -f, rialto down.[/dim]")
    return 0


def _spawn(layout: Layout, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "appservice", "up", "--supervise", "--data", str(layout.data)],
            cwd=layout.data,
            env=python_environ(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # lives on when our terminal closes
        )


async def _wait_running(layout: Layout, process: subprocess.Popen[bytes], log: Path, begin: int, steps: Steps) -> None:
    steps("starting Synapse and Rialto")
    try:
        async with asyncio.timeout(DETACH_TIMEOUT):
            while process.poll() is None:
                state = read_json(layout.state)
                if isinstance(state, dict) and state.get("phase") == "running":
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        process.terminate()
        raise StartFailed(f"the stack was not ready within {DETACH_TIMEOUT:g} s; see {log}") from None
    except BaseException:  # Ctrl-C while starting: nothing may stay behind
        process.terminate()
        raise
    raise StartFailed(f"the stack did not start; the end of {log}:\n{tail(log, since=begin)}")


async def _show_running(layout: Layout) -> int:
    found = await status(layout)
    console = Steps().console
    console.print(f"[dim]·[/dim] the stack in {layout.data} runs already ({found.phase})")
    show_table(console, layout, load_config(layout.config))
    return 0 if found.ready else 1


def show_table(console: Console, layout: Layout, config: Config) -> None:
    """URLs, accounts, and what to type next. Passwords are shown for new accounts, once."""
    rows = [("homeserver", config.homeserver.url), ("service", config.appservice.url)]
    if config.metrics.enabled:
        rows.append(("metrics", f"http://{config.metrics.listen}/metrics"))
    if config.web.enabled:
        rows.append(("pages", config.web.public_url))
    server = config.homeserver.server_name
    rows.extend(("bot", f"@{bot.localpart}:{server}") for bot in config.users if bot.enabled)
    new_accounts = take_unshown(layout)
    rows.extend(("account", f"{account.user_id}   password: {account.password}") for account in new_accounts)
    rows.append(("", f"shown once; kept in {layout.accounts}") if new_accounts else ("accounts", str(layout.accounts)))
    data = "" if layout.data == Path.cwd() / "data" else f" --data {layout.data}"
    rows.append(("type next", f"{_program()} chat{data}"))
    rows.append(("", f"or log in with Element (or any client) at {config.homeserver.url}"))
    for name, value in rows:
        console.print(f"  [cyan]{name:<10}[/cyan]  {escape(value)}", soft_wrap=True)


def _program() -> str:
    """How the reader starts us: the name alone when it is found in PATH."""
    name = Path(sys.argv[0]).name
    if name != "rialto":
        return "python -m appservice"
    if shutil.which(name) is not None:
        return name
    program = Path(sys.argv[0]).absolute()
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)
