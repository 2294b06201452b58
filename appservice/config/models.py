"""The shape of ``config.yaml``: frozen pydantic models, each key with its description.

``config.example.yaml`` is generated from this module: the description of a field is the comment above its key.
A validator's words follow the key in an error (``homeserver.url needs http:// or https://``), and those of a
secret key must not quote its value.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

PLACEHOLDER: Final = "CHANGE-ME"
SECRET: Final[dict[str, Any]] = {"secret": True}  # marks text keys whose value no error and no log may show
_SERVER_NAME: Final = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


class Model(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"needs http:// or https://, got {value!r}")
    try:
        parts = urlsplit(value)
        port_is_zero = parts.port == 0
    except ValueError:
        raise ValueError(f"needs a URL with a valid host and port, got {value!r}") from None
    if not parts.hostname or port_is_zero or re.search(r"\s", value):
        raise ValueError(f"needs a URL with a valid host and port, got {value!r}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("needs a URL without user, query or fragment")
    return value.rstrip("/")


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65_535:
        raise ValueError(f"needs host:port, got {value!r}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"needs brackets around an IPv6 host, [::1]:29300, got {value!r}")
    return value


def _server_name(value: str) -> str:
    # https://spec.matrix.org/v1.16/appendices/#server-name
    if not _SERVER_NAME.fullmatch(value) or len(value) > 230:
        raise ValueError(f"needs a server name like example.org or example.org:8448, got {value!r}")
    return value


def _allowed_server(value: str) -> str:
    return value if value == "*" else _server_name(value)


def _localpart(value: str) -> str:
    # https://spec.matrix.org/v1.16/appendices/#user-identifiers
    if not re.fullmatch(r"[a-z0-9._=/+-]+", value):
        raise ValueError(f"needs lower-case letters, digits and . _ = / + - only, got {value!r}")
    return value


def _header_safe(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]*", value.get_secret_value()):
        raise ValueError("needs printable ASCII characters without spaces")
    return value


def _database_url(value: str) -> str:
    if value.startswith("sqlite:///"):
        path = value.removeprefix("sqlite:///")
        if not path.strip("/") or path.startswith(":memory:"):
            raise ValueError("needs the path of a file after sqlite:///, nothing is kept in memory alone")
        if re.search(r"[?#\x00]", path):
            raise ValueError("needs a plain path after sqlite:///, without ? or #")
        return value
    scheme = value.partition("://")[0]
    if scheme not in {"postgresql", "postgres"}:
        raise ValueError("needs sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME")
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  parses the port
    except ValueError:
        raise ValueError("needs a valid host and port: postgresql://USER:PASSWORD@HOST:PORT/NAME") from None
    if not parts.hostname and "host=" not in parts.query:
        raise ValueError("needs a host: postgresql://USER:PASSWORD@HOST:PORT/NAME")
    if not parts.path.strip("/"):
        raise ValueError("needs the name of the database: postgresql://USER:PASSWORD@HOST:PORT/NAME")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Address = Annotated[str, AfterValidator(_address)]
ServerName = Annotated[str, AfterValidator(_server_name)]
AllowedServer = Annotated[str, AfterValidator(_allowed_server)]
Localpart = Annotated[str, AfterValidator(_localpart)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AuthToken = Annotated[SecretStr, Field(min_length=8), AfterValidator(_header_safe)]


class Homeserver(Model):
    url: HttpUrl = Field(
        "http://127.0.0.1:8008", description="Where Rialto reaches the homeserver's client-server API."
    )
    server_name: ServerName = Field("localhost", description="The server name in user ids: @alice:SERVER_NAME.")
    timeout: Seconds = Field(30, description="Seconds until a request to the homeserver is given up and tried again.")
    connections: int = Field(100, ge=1, le=10_000, description="Connections to the homeserver at most.")


class AppService(Model):
    id: str = Field("rialto", min_length=1, description="The id of the registration.")
    url: HttpUrl = Field("http://127.0.0.1:29300", description="Where the homeserver reaches Rialto.")
    listen: Address = Field("127.0.0.1:29300", description="host:port that Rialto listens on for the homeserver.")
    as_token: AuthToken = Field(description="Rialto shows this token to the homeserver. `rialto register` makes both.")
    hs_token: AuthToken = Field(description="The homeserver shows this token to Rialto.")
    sender_localpart: Localpart = Field(
        "_rialto",
        description="The steward: the user that administers rooms. It has no device and can read nothing encrypted.",
    )
    max_body: int = Field(
        16 * 1024 * 1024,
        ge=65_536,
        description="Bytes of a transaction at most; a larger one is answered 413.",
    )


class Database(Model):
    url: DatabaseUrl = Field(
        "sqlite:///data/rialto.db",
        repr=False,
        json_schema_extra=SECRET,  # it may hold a password
        description="sqlite:///PATH (relative to this file) or postgresql://USER:PASSWORD@HOST:PORT/NAME.",
    )
    pool_size: int = Field(8, ge=1, le=200, description="Connections to PostgreSQL at most. SQLite uses one writer.")


class Encryption(Model):
    pickle_key: SecretStr = Field(
        min_length=16,
        description="Encrypts key material and queued messages at rest. "
        "Without it the bots' devices are lost: back it up.",
    )
    rotate_messages: int = Field(100, ge=1, le=10_000, description="A new Megolm session after this many messages.")
    rotate_after: Seconds = Field(7 * 86_400, description="A new Megolm session after this many seconds.")
    key_wait: Seconds = Field(
        5,
        description="Seconds that a room waits, in order, for the key of an encrypted event "
        "before the event is parked.",
    )
    give_up_after: Seconds = Field(
        300,
        description="Seconds after which the bot says once that it cannot read a message whose key never came.",
    )


class Engine(Model):
    shards: int = Field(1, ge=1, le=1024, description="Shards of rooms. Fixed at installation.")
    concurrency: int = Field(64, ge=1, le=10_000, description="Rooms worked at the same time.")
    attempts: int = Field(
        5, ge=1, le=100, description="Attempts until an event that a handler fails on is a dead letter."
    )
    backoff: Seconds = Field(0.25, description="Seconds before the second attempt; doubled for each further one.")
    backoff_max: Seconds = Field(30, description="Seconds between two attempts at most.")
    handler_timeout: Seconds = Field(60, description="Seconds until a handler is stopped and counted as failed.")
    grace: Seconds = Field(20, description="Seconds that running handlers get to finish at SIGTERM.")
    retention: Seconds = Field(
        7 * 86_400,
        description="Seconds that finished inbox and outbox rows (without their content) are kept.",
    )
    send_give_up: Seconds = Field(
        86_400,
        description="Seconds that a message may be refused (answers 5xx) by a homeserver that otherwise works, until "
        "it is given up and its room goes on. An outage of the homeserver does not count.",
    )
    sends_per_bot: int = Field(64, ge=1, le=10_000, description="Messages that one bot sends at the same time at most.")


class Media(Model):
    max_bytes: int = Field(
        50 * 1024 * 1024, ge=1024, description="Bytes of one file, image or voice note at most, sent or received."
    )
    memory: int = Field(
        256 * 1024 * 1024,
        ge=1024 * 1024,
        description="Bytes of memory for files on their way, all together: others wait until there is room.",
    )


class Invites(Model):
    allow_servers: tuple[AllowedServer, ...] = Field(
        (), description="Servers beside our own whose users may invite bots; '*' allows every server."
    )


class Bot(Model):
    plugin: str = Field(min_length=1, description="The plugin that answers: hub, echo.")
    localpart: Localpart = Field(description="The bot's user is @LOCALPART:SERVER_NAME.")
    display_name: str = Field(min_length=1, max_length=256, description="The name people see.")
    enabled: bool = Field(True, description="A disabled bot is not started.")


class LogFormat(StrEnum):
    PRETTY = "pretty"
    JSON = "json"


class Logging(Model):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least level that is written.")
    format: LogFormat = Field(LogFormat.PRETTY, description="pretty for people, json for machines.")
    error_messages: bool = Field(
        False,
        description="Write the messages of unexpected errors too, not their type and place alone. "
        "For development: such a message may quote what people wrote.",
    )


class Metrics(Model):
    enabled: bool = Field(True, description="Serve /metrics, /health/live and /health/ready.")
    listen: Address = Field("127.0.0.1:29301", description="host:port of the metrics and health listener.")


DEFAULT_BOTS: tuple[Bot, ...] = (
    Bot(plugin="hub", localpart="rialto", display_name="Rialto", enabled=True),
    Bot(plugin="echo", localpart="echo", display_name="Echo", enabled=False),
)


class Config(Model):
    """Everything an operator can set. Read by :func:`appservice.config.load_config`."""

    homeserver: Homeserver = Field(default_factory=Homeserver, description="The homeserver.")
    appservice: AppService = Field(description="Rialto as an application service.")
    database: Database = Field(default_factory=Database, description="Where Rialto keeps its state.")
    encryption: Encryption = Field(description="End-to-end encryption.")
    engine: Engine = Field(default_factory=Engine, description="How events are worked.")
    media: Media = Field(default_factory=Media, description="Files that bots send and receive.")
    invites: Invites = Field(default_factory=Invites, description="Who may invite bots.")
    bots: tuple[Bot, ...] = Field(DEFAULT_BOTS, description="The bots, each a Matrix user with its own device.")
    logging: Logging = Field(default_factory=Logging, description="Logs. They never hold bodies, tokens or keys.")
    metrics: Metrics = Field(default_factory=Metrics, description="Prometheus metrics and health checks.")
