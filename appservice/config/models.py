"""The shape of ``config.yaml``: frozen pydantic models, each key with its description.

``config.example.yaml`` is generated from this module: the description of a field is the comment above its key.
A validator's words follow the key in an error (``homeserver.url needs http:// or https://``), and those of a
secret key must not quote its value.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, SecretStr

from appservice.config.base import HttpUrl, Model, Seconds
from appservice.config.messenger import Messenger
from appservice.config.money import Payments
from appservice.config.problems import KeyPath, Place, Places

PLACEHOLDER: Final = "CHANGE-ME"
SECRET: Final[dict[str, Any]] = {"secret": True}  # marks text keys whose value no error and no log may show
_SERVER_NAME: Final = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


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


def _optional_localpart(value: str) -> str:
    return _localpart(value) if value else value


def _instance(value: str) -> str:
    if value and not re.fullmatch(r"[a-z0-9_][a-z0-9._-]{0,63}", value):
        raise ValueError(f"needs lower-case letters, digits and . _ - only, 64 at most, got {value!r}")
    return value


def _avatar(value: str) -> str:
    # https://spec.matrix.org/v1.16/client-server-api/#matrix-content-mxc-uris
    if value.startswith("mxc:") and not re.fullmatch(r"mxc://[A-Za-z0-9.:\[\]-]+/[A-Za-z0-9_-]+", value):
        raise ValueError(f"needs the path of an image file or mxc://SERVER/ID, got {value!r}")
    return value


def _room_id(value: str) -> str:
    # https://spec.matrix.org/v1.16/appendices/#room-ids; since room version 12 without a server
    if value and not re.fullmatch(r"![^\s\x00]{1,254}", value):
        raise ValueError(f"needs a room id like !abc:example.org, got {value!r}")
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


def _origin(value: str) -> str:
    # It stands in a header of its own grammar: nothing but an origin may get there.
    if not re.fullmatch(r"[a-z][a-z0-9+.-]{0,20}://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?", value):
        raise ValueError(f"needs an origin like https://app.element.io, without a path, got {value!r}")
    return value


Address = Annotated[str, AfterValidator(_address)]
ServerName = Annotated[str, AfterValidator(_server_name)]
AllowedServer = Annotated[str, AfterValidator(_allowed_server)]
WidgetClient = Annotated[str, AfterValidator(_origin)]
Localpart = Annotated[str, AfterValidator(_localpart)]
OptionalLocalpart = Annotated[str, AfterValidator(_optional_localpart)]
InstanceName = Annotated[str, AfterValidator(_instance)]
DisplayName = Annotated[str, Field(min_length=1, max_length=256)]
Avatar = Annotated[str, AfterValidator(_avatar)]
RoomId = Annotated[str, AfterValidator(_room_id)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
AuthToken = Annotated[SecretStr, Field(min_length=8), AfterValidator(_header_safe)]
AdminToken = Annotated[SecretStr, AfterValidator(_header_safe)]


class Homeserver(Model):
    url: HttpUrl = Field(
        "http://127.0.0.1:8008", description="Where Rialto reaches the homeserver's client-server API."
    )
    server_name: ServerName = Field("localhost", description="The server name in user ids: @alice:SERVER_NAME.")
    timeout: Seconds = Field(30, description="Seconds until a request to the homeserver is given up and tried again.")
    connections: int = Field(100, ge=1, le=10_000, description="Connections to the homeserver at most.")
    admin_token: AdminToken = Field(
        SecretStr(""),
        description="An access token of an administrator of the homeserver, for what only administrators may: devices, "
        "accounts, removing media, reports. Empty: these features say that they are not available.",
    )


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
    plugin: str = Field(
        min_length=1, max_length=64, description="The plugin that answers. `rialto plugin list` shows those there are."
    )
    name: InstanceName = Field(
        "",
        description="The name of this instance, for state, logs and commands; the plugin's unless said. One plugin may "
        "run several times under different names.",
    )
    localpart: OptionalLocalpart = Field("", description="The bot's user is @LOCALPART:SERVER_NAME.")
    display_name: DisplayName | None = Field(None, description="The name people see.")
    avatar: Avatar = Field("", description="Its picture: the path of a file (relative to this one), or mxc://….")
    description: str = Field(
        "", max_length=500, description="One line that tells people what it is for; the plugin's own unless said."
    )
    joins: OptionalLocalpart = Field(
        "", description="Instead of a user of its own: the localpart of the bot that this plugin is a part of."
    )
    enabled: bool = Field(True, description="A disabled bot is not started.")
    settings: dict[str, Any] = Field(
        {}, description="The plugin's own settings. A secret may be {file: PATH}. `rialto plugin list` names them."
    )
    scopes: tuple[str, ...] = Field(
        (),
        description="What the plugin may do beyond its own rooms, of what it asks for: http, rooms.create, "
        "location.read, payments.charge. Harmless scopes need not be listed.",
    )
    rooms: tuple[RoomId, ...] = Field((), description="Rooms that it works in; all unless said.")
    servers: tuple[ServerName, ...] = Field((), description="Servers whose people it answers; all unless said.")
    handler_timeout: float = Field(
        0, ge=0, allow_inf_nan=False, description="Seconds of one handler at most; 0: engine.handler_timeout."
    )
    remote_token_file: str = Field(
        "",
        description="The plugin runs outside this process (`rialto plugin serve`) and shows the token in this file "
        "(relative to this one; 32 characters or more). Needs web.enabled. Empty: it runs inside.",
    )

    @property
    def instance(self) -> str:
        """The name of the instance."""
        return self.name or self.plugin


class Plugins(Model):
    folders: tuple[str, ...] = Field(
        (),
        description="Folders (relative to this file) with plugins beside the installed ones: NAME.py, or packages; a "
        "folder may be a package or a plugin's project itself.",
    )
    start_timeout: Seconds = Field(20, description="Seconds that a plugin's start or stop takes at most.")
    failures: int = Field(5, ge=1, le=1000, description="Failures of one instance that pause it. Its people hear so.")
    failure_window: Seconds = Field(60, description="Seconds within which failures are counted together.")
    pause: Seconds = Field(
        30, description="Seconds of the first pause; each one that follows at once is twice as long."
    )
    pause_max: Seconds = Field(900, description="Seconds of a pause at most.")
    effects: int = Field(200, ge=1, le=100_000, description="Messages in answer to one event at most.")
    effects_per_minute: int = Field(3000, ge=1, description="Messages of one instance in one minute at most.")


class Operators(Model):
    room: RoomId = Field(
        "", description="The room in which the first bot tells operators of plugins that fail; none unless said."
    )


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


class Web(Model):
    enabled: bool = Field(False, description="Take webhooks of other services, and serve the bots' pages.")
    listen: Address = Field(
        "127.0.0.1:29302",
        description="host:port of this listener. Put a reverse proxy with TLS before it: it is for the outside.",
    )
    public_url: HttpUrl = Field(
        "http://127.0.0.1:29302", description="Where the outside reaches this listener: links and webhooks begin so."
    )
    max_body: int = Field(
        1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="Bytes of a request at most; a larger one is answered 413.",
    )
    widget_clients: tuple[WidgetClient, ...] = Field(
        (),
        description=(
            "Origins of the Matrix clients that may show the pages of shops beside a room (https://app.element.io). "
            "None: the pages are opened by links from the chat only."
        ),
    )


DEFAULT_BOTS: tuple[Bot, ...] = (
    Bot(plugin="hub", localpart="rialto", display_name="Rialto", enabled=True),
    Bot(plugin="echo", localpart="echo", display_name="Echo", enabled=False),
    Bot(plugin="wallet", localpart="wallet", display_name="Wallet", enabled=False),
    Bot(plugin="bills", localpart="bills", display_name="Bills", enabled=False),
    Bot(plugin="shop", localpart="shop", display_name="Shop", enabled=False),
    Bot(plugin="food", localpart="food", display_name="Food", enabled=False),
    Bot(plugin="rides", localpart="rides", display_name="Rides", enabled=False),
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
    bots: tuple[Bot, ...] = Field(
        DEFAULT_BOTS,
        description="The bots: each a plugin, with a Matrix user and a device of its own or joined to another.",
    )
    plugins: Plugins = Field(
        default_factory=Plugins, description="Where plugins are found, and how they are contained."
    )
    permissions: dict[str, Any] = Field(
        {},
        description="Who may do what. roles: {admin: [PATTERN], operator: …, user: …, guest: …, groups: {NAME: …}} "
        "with patterns like @alice:example.org, example.org or *; rules: {PERMISSION: ROLE}.",
    )
    operators: Operators = Field(default_factory=Operators, description="How operators are told.")
    logging: Logging = Field(default_factory=Logging, description="Logs. They never hold bodies, tokens or keys.")
    metrics: Metrics = Field(default_factory=Metrics, description="Prometheus metrics and health checks.")
    web: Web = Field(default_factory=Web, description="The listener of the bots for the outside.")
    payments: Payments = Field(default_factory=Payments, description="Money: limits, confirmation, providers, rates.")
    messenger: Messenger = Field(default_factory=Messenger, description="Chats and channels.")

    _places: Places = PrivateAttr(default_factory=Places)

    @property
    def users(self) -> tuple[Bot, ...]:
        """The bots that are users of their own."""
        return tuple(bot for bot in self.bots if bot.localpart)

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self._places.folder

    def place_of(self, path: KeyPath) -> Place:
        """Where a key stands, for errors that only its reader can find."""
        return self._places.of(path)

    def placed(self, places: Places) -> Config:
        """The same, with the places of its keys."""
        found = self.model_copy()
        found._places = places
        return found
