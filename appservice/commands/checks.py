"""What ``check`` and ``doctor`` find out, and how they say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from appservice.commands.common import Exit, print_json, say

if TYPE_CHECKING:
    from pathlib import Path

    from appservice.config import Config
    from appservice.homeserver import Homeserver


class Verdict(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``advice`` says what to do when it is not fine."""

    name: str
    verdict: Verdict
    text: str
    advice: str = ""
    unreachable: bool = False


def ok(name: str, text: str) -> Check:
    """A check that is fine."""
    return Check(name, Verdict.OK, text)


def warn(name: str, text: str, advice: str) -> Check:
    """A check that deserves a look."""
    return Check(name, Verdict.WARN, text, advice)


def fail(name: str, text: str, advice: str, *, unreachable: bool = False) -> Check:
    """A check that failed."""
    return Check(name, Verdict.FAIL, text, advice, unreachable)


def report(checks: Sequence[Check], *, as_json: bool) -> Exit:
    """Write the checks; the exit code: UNREACHABLE when something does not answer, else OK or FAILED."""
    if as_json:
        entries: list[dict[str, Any]] = []
        for check in checks:
            entry = asdict(check)
            del entry["unreachable"]
            entries.append(entry)
        print_json({"ok": not any(check.verdict is Verdict.FAIL for check in checks), "checks": entries})
    else:
        width = max((len(check.name) for check in checks), default=0)
        for check in checks:
            say(f"{check.verdict:<4}  {check.name:<{width}}  {check.text}")
            if check.advice:
                say(f"{'':<4}  {'':<{width}}  → {check.advice}")
    failed = [check for check in checks if check.verdict is Verdict.FAIL]
    if not failed:
        return Exit.OK
    return Exit.UNREACHABLE if any(check.unreachable for check in failed) else Exit.FAILED


def check_registration(config: Config, config_path: Path, registration_path: Path) -> list[Check]:
    """The registration against the configuration; one check for each place where they disagree."""
    from appservice.local.errors import LocalError
    from appservice.local.registration import mismatches, read_registration

    try:
        registration = read_registration(registration_path)
    except LocalError as error:
        return [fail("registration", error.human, f"rialto register -c {config_path} -o {registration_path}")]
    found = mismatches(config, registration)
    if not found:
        return [ok("registration", f"{registration_path} fits {config_path}")]
    return [
        fail(
            "registration",
            f"{registration_path}: {key} {problem} ({config_path})",
            "rialto register writes it anew; then restart the homeserver",
        )
        for key, problem in found
    ]


def check_plugins(config: Config) -> list[Check]:
    """The plugins of a configuration; one check for each thing that is wrong with them."""
    from appservice.main import plugin_problems

    found = plugin_problems(config)
    if not found:
        count = sum(bot.enabled for bot in config.bots)
        return [ok("plugins", f"{count} can run")]
    advice = "rialto plugin check PATH says all that is wrong with one"
    return [(fail if problem.fatal else warn)("plugins", str(problem), advice) for problem in found]


def check_money(config: Config) -> list[Check]:
    """What a wallet needs, and what must not be where people's money is real."""
    if not any(bot.plugin == "wallet" and bot.enabled for bot in config.bots):
        return []
    found = []
    if not config.web.enabled:
        text = "the wallet is enabled and web.enabled is not: payments from payments.pin_above on cannot be confirmed"
        found.append(warn("money", text, "enable web, with a reverse proxy that ends TLS before it"))
    providers = config.payments.providers
    if providers.sandbox.enabled and config.homeserver.server_name != "localhost":
        text = "payments.providers.sandbox is enabled: everybody can fill their wallet with play money"
        found.append(warn("money", text, "disable it where people's money is real"))
    if not (providers.sandbox.enabled or providers.bank.iban or providers.stripe.secret_key.get_secret_value()):
        found.append(warn("money", "no provider is configured: nothing comes in", "docs/providers.md"))
    return found or [ok("money", "the wallet has what it needs")]


def default_registration(config_path: Path) -> Path:
    """Beside the configuration."""
    return config_path.absolute().parent / "registration.yaml"


async def check_homeserver(config: Config, homeserver: Homeserver) -> list[Check]:
    """Versions, and whom the homeserver takes our token for."""
    from appservice.homeserver import HomeserverError

    url = config.homeserver.url
    steward = f"@{config.appservice.sender_localpart}:{config.homeserver.server_name}"
    unknown = "the homeserver does not know this token: add the registration to app_service_config_files, restart it"
    try:
        versions = await homeserver.request("GET", "/_matrix/client/versions")
    except HomeserverError as error:
        if error.status in (401, 403):  # Synapse looks at the token here too
            return [ok("homeserver", f"{url} answers"), fail("as_token", error.human, unknown)]
        where = f"{url} ({error.human})"
        return [fail("homeserver", where, "start it, or correct homeserver.url", unreachable=error.status == 0)]
    spoken = [str(version) for version in versions.get("versions", [])]
    checks = [ok("homeserver", f"{url} speaks {spoken[-1] if spoken else 'no version at all'}")]
    if not any(version.startswith("v1.") for version in spoken):
        checks = [fail("homeserver", f"{url} speaks none of Matrix v1.x", "a newer homeserver is needed")]
    try:
        answer = await homeserver.request("GET", "/_matrix/client/v3/account/whoami")
    except HomeserverError as error:
        return [*checks, fail("as_token", error.human, unknown)]
    return [*checks, _who(config, str(answer.get("user_id")), steward)]


def _who(config: Config, user: str, steward: str) -> Check:
    if user == steward:
        return ok("as_token", f"the homeserver takes it for {user}")
    server = user.partition(":")[2]
    if server != config.homeserver.server_name:
        text = f"the homeserver is {server}, but homeserver.server_name is {config.homeserver.server_name}"
        return fail("server_name", text, f"set homeserver.server_name to {server}")
    text = f"the homeserver takes it for {user}, not for {steward}"
    return fail("as_token", text, "it is the token of another registration, or sender_localpart differs")
