"""A Synapse on the loopback interface: its configuration, its process, its users.

Keys of the configuration: https://element-hq.github.io/synapse/latest/usage/configuration/config_documentation.html.
Users by the shared secret: https://element-hq.github.io/synapse/latest/admin_api/register_api.html.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from ruamel.yaml import YAML

from appservice.local.environment import ensure_environment, environment_path
from appservice.local.errors import LocalError, StartFailed
from appservice.local.files import private_folder, write_private
from appservice.local.process import Child
from appservice.local.yaml import to_yaml

__all__ = ["Account", "Synapse", "SynapseSettings", "ensure_environment", "environment_path", "write_synapse"]

CONFIG = "homeserver.yaml"
LOG = "homeserver.log"
OUTPUT = "synapse.out.log"
START_TIMEOUT = 60.0
STOP_GRACE = 15.0
VERSIONS = "/_matrix/client/versions"


@dataclass(frozen=True)
class SynapseSettings:
    """What differs from one local Synapse to the other. Secrets are made here and written with mode 0600."""

    folder: Path
    port: int
    server_name: str = "localhost"
    registrations: Sequence[Path] = ()
    bcrypt_rounds: int = 12
    shared_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the client-server API answers."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Account:
    """A user of the homeserver with the password that was set for it."""

    user_id: str
    password: str = field(repr=False)


def signing_key() -> str:
    """A new signing key in Synapse's format: algorithm, version, unpadded base64 of an Ed25519 seed."""
    seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    return f"ed25519 a_{secrets.token_hex(2)} {seed}\n"


def _generous() -> dict[str, Any]:
    return {"per_second": 1000, "burst_count": 10_000}


def _rate_limits() -> dict[str, Any]:
    """Limits that people and test suites on one machine never meet."""
    return {
        "rc_message": _generous(),
        "rc_registration": _generous(),
        "rc_login": {"address": _generous(), "account": _generous(), "failed_attempts": _generous()},
        "rc_admin_redaction": _generous(),
        "rc_joins": {"local": _generous(), "remote": _generous()},
        "rc_joins_per_room": _generous(),
        "rc_invites": {"per_room": _generous(), "per_user": _generous(), "per_issuer": _generous()},
        "rc_media_create": _generous(),
        "rc_reports": _generous(),
        "rc_room_creation": _generous(),
        "rc_key_requests": _generous(),
        "rc_presence": {"per_user": _generous()},
        "rc_delayed_event_mgmt": _generous(),
    }


def homeserver_config(settings: SynapseSettings, macaroon: str, form: str) -> dict[str, Any]:
    """The whole ``homeserver.yaml``: SQLite, loopback, no federation, small caches, secrets inside."""
    folder = settings.folder.absolute()
    return {
        "server_name": settings.server_name,
        "public_baseurl": f"{settings.url}/",
        "report_stats": False,
        "signing_key_path": str(folder / "signing.key"),
        "macaroon_secret_key": macaroon,
        "form_secret": form,
        "registration_shared_secret": settings.shared_secret,
        "enable_registration": False,
        "bcrypt_rounds": settings.bcrypt_rounds,
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        "federation_domain_whitelist": [],
        "allow_public_rooms_over_federation": False,
        # Since 1.126 nobody may put a room into the directory unless this says so.
        "room_list_publication_rules": [{"action": "allow"}],
        "default_room_version": "11",
        # What is redacted is emptied the next time that Synapse looks: nothing is shorter.
        "redaction_retention_period": "0s",
        # Copies of other servers' files. Our own stay until they are removed: who opens an old message finds them.
        "media_retention": {"remote_media_lifetime": "30d"},
        "enable_search": False,  # its index keeps the words of redacted messages; Rialto has a search of its own
        "url_preview_enabled": False,
        "listeners": [
            {
                "port": settings.port,
                "type": "http",
                "tls": False,
                "bind_addresses": ["127.0.0.1"],
                "resources": [{"names": ["client", "federation", "openid"], "compress": False}],
            }
        ],
        "database": {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}},
        "media_store_path": str(folder / "media"),
        "max_upload_size": "64M",
        "log_config": str(folder / "log.yaml"),
        "app_service_config_files": [str(path.absolute()) for path in settings.registrations],
        "modules": _modules(settings),
        "user_directory": {"enabled": True, "search_all_users": True},
        "event_cache_size": "2K",
        "caches": {"global_factor": 0.5, "expire_caches": True, "cache_entry_ttl": "10m"},
        **_rate_limits(),
        **settings.extra,
    }


def _modules(settings: SynapseSettings) -> list[dict[str, Any]]:
    """Rialto's module, which enforces people's privacy settings: appservice/local/rialto_synapse.py."""
    paths = [str(path.absolute()) for path in settings.registrations]
    if not paths:
        return []
    return [{"module": "rialto_synapse.RialtoModule", "config": {"registration": paths}}]


def log_config(folder: Path) -> dict[str, Any]:
    """Synapse's logging: one file of at most 10 MB and two older ones, information and worse."""
    return {
        "version": 1,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s %(request)s %(message)s"}},
        "handlers": {
            "file": {
                "class": "logging.handlers.RotatingFileHandler",
                "formatter": "line",
                "filename": str(folder.absolute() / LOG),
                "maxBytes": 10 * 1024 * 1024,
                "backupCount": 2,
                "encoding": "utf8",
            }
        },
        "loggers": {"synapse.storage.SQL": {"level": "WARNING"}},
        "root": {"level": "INFO", "handlers": ["file"]},
        "disable_existing_loggers": False,
    }


def write_synapse(settings: SynapseSettings) -> Path:
    """Write configuration, signing key and log configuration into ``settings.folder``; the path of the configuration.

    A signing key that is there stays: the server's identity outlives a new configuration.
    """
    folder = private_folder(settings.folder)
    (folder / "media").mkdir(exist_ok=True)
    key = folder / "signing.key"
    if not key.exists():
        write_private(key, signing_key())
    write_private(folder / "log.yaml", to_yaml(log_config(folder)))
    config = homeserver_config(settings, macaroon=secrets.token_urlsafe(32), form=secrets.token_urlsafe(32))
    write_private(folder / CONFIG, to_yaml(config))
    return folder / CONFIG


def read_settings(folder: Path) -> SynapseSettings:
    """The settings of the Synapse that was written into ``folder``. Raises LocalError when it is not whole."""
    path = folder / CONFIG
    try:
        value = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        return SynapseSettings(
            folder=folder,
            port=value["listeners"][0]["port"],
            server_name=value["server_name"],
            registrations=tuple(Path(name) for name in value["app_service_config_files"]),
            bcrypt_rounds=value["bcrypt_rounds"],
            shared_secret=value["registration_shared_secret"],
        )
    except (OSError, KeyError, TypeError, IndexError) as error:
        raise LocalError(f"{path} is not the configuration of a local Synapse: {error!r}") from error


class Synapse:
    """A Synapse process on a folder that :func:`write_synapse` filled. Register users, start, stop."""

    def __init__(self, settings: SynapseSettings, python: Path) -> None:
        self.settings = settings
        self.url = settings.url
        self.server_name = settings.server_name
        self.log = settings.folder / LOG
        self.child = Child(
            "Synapse",
            # -I: a PYTHONPATH of ours must not bring our libraries into Synapse's environment.
            [python.absolute(), "-I", "-m", "synapse.app.homeserver", "-c", (settings.folder / CONFIG).absolute()],
            settings.folder / OUTPUT,
            cwd=settings.folder,
        )

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.settings.folder / "homeserver.db"

    def user_id(self, localpart: str) -> str:
        """The full id of a user of this server."""
        return f"@{localpart}:{self.server_name}"

    async def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start the process and wait until it answers. Raises StartFailed with the end of its output."""
        self.child.start()
        try:
            await self.wait_ready(timeout)
        except BaseException:  # nothing may outlive a failed or cancelled start
            await self.child.stop(STOP_GRACE)
            raise

    async def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until the client-server API answers. Raises StartFailed when the process ends or time is up."""
        try:
            async with asyncio.timeout(timeout), aiohttp.ClientSession() as session:
                while True:
                    self.child.check()
                    if await answers(session, self.url + VERSIONS):
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise StartFailed(f"Synapse did not answer within {timeout:g} s; see {self.log}") from None

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """Stop the process and wait for its end."""
        await self.child.stop(grace)

    async def register(self, localpart: str, password: str | None = None, *, admin: bool = False) -> Account:
        """Make a user. Raises LocalError when the server refuses (the name is taken, say)."""
        account = Account(self.user_id(localpart), password or secrets.token_urlsafe(12))
        await register_user(self.url, self.settings.shared_secret, localpart, account.password, admin=admin)
        return account


async def answers(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether ``url`` answers 200 now."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=5)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def register_user(url: str, shared_secret: str, localpart: str, password: str, *, admin: bool = False) -> str:
    """Make a user by the shared secret, without logging it in; its user id. Raises LocalError.

    The proof is HMAC-SHA1 of nonce, name, password and "admin" or "notadmin", with NULs between (Synapse's admin API).
    """
    endpoint = f"{url}/_synapse/admin/v1/register"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        nonce = (await request_json(session, "GET", endpoint))["nonce"]
        parts = [nonce, localpart, password, "admin" if admin else "notadmin"]
        mac = hmac.new(shared_secret.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": localpart, "password": password, "admin": admin, "mac": mac}
        answer = await request_json(session, "POST", endpoint, body={**body, "inhibit_login": True})
        return str(answer["user_id"])


async def request_json(
    session: aiohttp.ClientSession, method: str, url: str, *, token: str | None = None, body: Any = None
) -> dict[str, Any]:
    """One request to the homeserver's API; its JSON object. Raises LocalError with ``status`` (0: unreachable)."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        async with session.request(method, url, headers=headers, json=body) as response:
            answer = await response.json(content_type=None)
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise LocalError(f"no answer from {url}: {error or type(error).__name__}", status=0) from error
    if status >= 400 or not isinstance(answer, dict):
        reason = answer if not isinstance(answer, dict) else answer.get("error", answer)
        code = answer.get("errcode", "") if isinstance(answer, dict) else ""
        raise LocalError(f"the homeserver refused ({status} {code}): {reason}", status=status, errcode=code)
    return answer


def user_path(user_id: str) -> str:
    """A user id as a part of a URL's path."""
    return quote(user_id, safe="")
