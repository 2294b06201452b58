"""``rialto doctor``: tests every connection and says what to do."""

from __future__ import annotations

import argparse
import asyncio
import email.utils
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appservice import __version__
from appservice.commands.common import add_config, add_data, add_json, load
from appservice.errors import RialtoError

if TYPE_CHECKING:
    from appservice.commands.checks import Check
    from appservice.config import Config
    from appservice.homeserver import Homeserver

LIBRARIES = ("mautrix", "python-olm", "aiohttp", "SQLAlchemy", "asyncpg", "aiosqlite", "pydantic")
SKEW_WARN, SKEW_FAIL = 5.0, 60.0  # seconds; HTTP dates have a resolution of one second
DISK_WARN, DISK_FAIL = 1 << 30, 100 << 20  # bytes
PING_ADVICE = {
    "M_CONNECTION_FAILED": "is `rialto run` running, and does appservice.url lead to it from the homeserver's machine?",
    "M_CONNECTION_TIMEOUT": "a firewall between the homeserver and appservice.url?",
    "M_BAD_STATUS": "something else than Rialto answers at appservice.url, or hs_token differs: rialto check",
    "M_URL_NOT_SET": "the registration has no url: rialto register, then restart the homeserver",
    "M_FORBIDDEN": "the id of the registration differs from appservice.id: rialto check",
    "M_UNRECOGNIZED": "the homeserver is too old to ping (Matrix v1.7)",
}


def add(commands: Any) -> None:
    """Add the parser."""
    parser = commands.add_parser("doctor", help="test every connection and say what to do", description=_doctor.__doc__)
    add_config(parser)
    add_data(parser)
    add_json(parser)
    parser.set_defaults(handler=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    """Test database, homeserver (both ways), clock, versions, disk, permissions and ports; say what to do.

    Exit code 0: all works (there may be warnings); 1: something does not; 3: something does not answer.
    """
    from appservice.commands.checks import report

    path, config = load(arguments)
    return report(asyncio.run(_examine(path, config)), as_json=arguments.json)


async def _examine(path: Path, config: Config) -> list[Check]:
    from appservice.commands.checks import ok
    from appservice.commands.deletion import check_deletion
    from appservice.homeserver import Homeserver

    checks = [ok("configuration", f"{path} is valid"), *_versions(), *_permissions(path, config), *_disk(path, config)]
    checks.extend(await _database(config))
    homeserver = Homeserver(config.homeserver.url, config.appservice.as_token.get_secret_value(), timeout=10)
    await homeserver.start()
    try:
        checks.extend(await _homeserver(config, homeserver))
        if not any(check.unreachable for check in checks):
            checks.append(await _administration(config))
            checks.append(await _module(homeserver))
            checks.extend(check_deletion(path))
    finally:
        await homeserver.stop()
    checks.append(await _service(config))
    return checks


def _versions() -> Iterator[Check]:
    from appservice.commands.checks import fail, ok

    found = [f"rialto {__version__}", f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            yield fail("versions", f"{name} is not installed", "install Rialto anew: pip install rialto-messenger")
    if sys.version_info < (3, 11):  # noqa: UP036 - also run from a checkout, where nothing else asks
        yield fail("versions", f"Python {platform.python_version()}", "Python 3.11 or newer is needed")
    yield ok("versions", ", ".join(found))


def _permissions(path: Path, config: Config) -> Iterator[Check]:
    from appservice.commands.checks import default_registration, ok, warn
    from appservice.local.files import is_private

    files = [path, default_registration(path)]
    if (database := _sqlite_file(config)) is not None:
        files.extend(database.parent.glob(database.name + "*"))
    open_files = [file for file in files if file.is_file() and not is_private(file)]
    for file in open_files:
        folder = file.absolute().parent
        if is_private(folder):
            continue  # nobody else can enter
        yield warn("permissions", f"{file} can be read by other users of this machine", f"chmod 600 {file}")
    if all(is_private(file.absolute().parent) for file in open_files):
        yield ok("permissions", "nobody else can read the files that hold secrets")


def _disk(path: Path, config: Config) -> Iterator[Check]:
    from appservice.commands.checks import fail, ok, warn

    database = _sqlite_file(config)
    folder = path.absolute().parent if database is None else database.absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / (1 << 30):.1f} GiB free at {folder}"
    if free < DISK_FAIL:
        yield fail("disk", text, "make room: a full disk stops everything (nothing is lost)")
    elif free < DISK_WARN:
        yield warn("disk", text, "make room soon")
    else:
        yield ok("disk", text)


def _sqlite_file(config: Config) -> Path | None:
    url = config.database.url
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


async def _database(config: Config) -> list[Check]:
    from appservice.commands.checks import fail, ok, warn
    from appservice.database import open_database
    from appservice.migrate import current, head

    file = _sqlite_file(config)
    if file is not None and not file.exists():
        return [warn("database", f"{file} is not there yet", "rialto migrate (or rialto run) makes it")]
    database = open_database(config.database.url, pool_size=1)
    name = str(file) if file is not None else "PostgreSQL"
    try:
        await database.start()
    except RialtoError as error:
        return [fail("database", f"{name}: {error.human}", "start it, or correct database.url", unreachable=True)]
    try:
        begun = time.monotonic()
        await database.write(_write_something)
        checks = [ok("database", f"{name} takes writes ({(time.monotonic() - begun) * 1000:.0f} ms)")]
        revision, newest = await current(database), head()
    except RialtoError as error:
        return [fail("database", f"{name}: {error.human}", "is it full, read-only, or locked by another program?")]
    finally:
        await database.stop()
    if revision == newest:
        checks.append(ok("migrations", f"at {revision}, the newest"))
    elif revision is None:
        checks.append(warn("migrations", "the database is empty", "rialto migrate"))
    else:
        checks.append(fail("migrations", f"at {revision}, but this version needs {newest}", "rialto migrate"))
    return checks


def _write_something(connection: Any) -> None:
    """A table that comes and goes within one transaction: the write is real, and leaves nothing."""
    connection.exec_driver_sql("CREATE TABLE rialto_doctor (one INTEGER)")
    connection.exec_driver_sql("DROP TABLE rialto_doctor")


async def _homeserver(config: Config, homeserver: Homeserver) -> list[Check]:
    from appservice.commands.checks import Verdict, check_homeserver, fail, ok
    from appservice.homeserver import HomeserverError

    checks = await check_homeserver(config, homeserver)
    if any(check.unreachable for check in checks):
        return checks
    checks.extend(await _server_and_clock(config))
    if any(check.name == "as_token" and check.verdict is Verdict.FAIL for check in checks):
        return checks  # the ping would only say the same again
    try:
        milliseconds = await homeserver.ping(config.appservice.id, f"doctor{time.time_ns()}")
        checks.append(ok("ping", f"the homeserver reaches {config.appservice.url} ({milliseconds:.0f} ms)"))
    except HomeserverError as error:
        advice = PING_ADVICE.get(error.errcode, "see the homeserver's log")
        unreachable = error.errcode.startswith("M_CONNECTION")
        text = f"the homeserver does not reach {config.appservice.url}: {error.errcode}"
        checks.append(fail("ping", text, advice, unreachable=unreachable))
    return checks


async def _administration(config: Config) -> Check:
    """Whether the homeserver takes the administrator's token: devices, accounts, media and reports need it."""
    from appservice.administration import Administration, NoAdministration
    from appservice.commands.checks import fail, ok, warn
    from appservice.homeserver import HomeserverError

    administration = Administration(config.homeserver.url, config.homeserver.admin_token.get_secret_value(), timeout=10)
    if not administration.available:
        text = "homeserver.admin_token is not set: no device lists, no product accounts, media of timers stays"
        return warn("administration", text, "make an administrator's access token, see docs/privacy.md")
    await administration.start()
    try:
        user_id = await administration.whoami()
        await administration.devices(user_id)  # needs an administrator
    except NoAdministration as error:
        return fail("administration", error.human, "an access token of an account that is an administrator")
    except HomeserverError as error:
        return fail("administration", f"{error.errcode}", "is /_synapse/admin reachable at homeserver.url?")
    finally:
        await administration.stop()
    return ok("administration", f"the homeserver takes the token of {user_id}")


async def _module(homeserver: Homeserver) -> Check:
    """Whether the homeserver has Rialto's module, which enforces people's privacy settings."""
    from appservice.commands.checks import fail, ok, warn
    from appservice.homeserver import HomeserverError
    from appservice.synapse_module import ENFORCED, VERSION, SynapseModule

    try:
        hello = await SynapseModule(homeserver).hello()
    except HomeserverError as error:
        return fail("module", f"the homeserver's module answers {error.errcode}", "see the homeserver's log")
    if hello is None:
        text = "the homeserver has no module of Rialto: privacy settings hold in Rialto's own chats only"
        return warn("module", text, "install rialto_synapse.py, see docs/privacy.md")
    if hello.version != VERSION:
        return fail(
            "module", f"the homeserver's module is of version {hello.version}, not {VERSION}", "install it anew"
        )
    missing = sorted(ENFORCED - set(hello.enforces))
    if missing:
        text = f"the homeserver's module does not enforce {', '.join(missing)}"
        return warn("module", text, "its key 'enforce' leaves them out, or this release of Synapse is not known to it")
    return ok("module", f"privacy settings are enforced; while Rialto is away: {hello.when_away}")


async def _server_and_clock(config: Config) -> list[Check]:
    """The server's name, and our clock against its Date header (RFC 9110, section 6.6.1). Asked without our token."""
    import aiohttp

    from appservice.commands.checks import fail, ok, warn

    checks: list[Check] = []
    url = f"{config.homeserver.url}/_matrix/federation/v1/version"
    timeout = aiohttp.ClientTimeout(total=10)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            now = time.time()
            theirs = email.utils.parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
            answer = await response.json(content_type=None) if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        text = f"the homeserver does not say its time: {type(error).__name__}"
        return [warn("clock", text, "compare the clocks by hand")]
    server = answer.get("server") if isinstance(answer, dict) else None
    if isinstance(server, dict):  # not every server says
        checks.append(ok("server", f"{server.get('name')} {server.get('version')}"))
    skew = abs(now - theirs)
    text = f"{skew:.0f} s between our clock and the homeserver's"
    if skew > SKEW_FAIL:
        checks.append(fail("clock", text, "set the clocks by NTP: schedules and code expiry depend on them"))
    else:
        checks.append(warn("clock", text, "set the clocks by NTP") if skew > SKEW_WARN else ok("clock", text))
    return checks


async def _service(config: Config) -> Check:
    """The service itself, by its health listener."""
    import aiohttp

    from appservice.commands.checks import ok, warn
    from appservice.local.files import port_is_free

    if not config.metrics.enabled:
        return warn("service", "metrics and health checks are off", "metrics.enabled: true serves both")
    url = f"http://{config.metrics.listen}/health/ready"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.get(url) as response,
        ):
            answer = await response.json(content_type=None)
            status = response.status
    except (aiohttp.ClientError, TimeoutError, ValueError):
        host, _, port = config.metrics.listen.rpartition(":")
        if port_is_free(int(port), host.strip("[]")):
            return warn("service", f"does not run (nobody listens on {config.metrics.listen})", "rialto run")
        return warn("service", f"another program listens on {config.metrics.listen}", "choose another metrics.listen")
    if status == 200:
        return ok("service", f"ready ({url})")
    return warn("service", f"not ready: {answer}", "rialto logs, or the log of rialto run, says why")
