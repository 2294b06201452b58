"""The shape of ``config.yaml``: frozen pydantic models, each key with its description.

``config.example.yaml`` is generated from this module: the description of a field is the comment above its key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator


class Model(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"needs http:// or https://, got {value!r}")
    return value.rstrip("/")


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f"needs host:port, got {value!r}")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Address = Annotated[str, AfterValidator(_address)]
Seconds = Annotated[float, Field(gt=0)]


class Homeserver(Model):
    url: HttpUrl = Field("http://127.0.0.1:8008", description="Where Rialto reaches the homeserver's client-server API.")
    server_name: str = Field("localhost", min_length=1, description="The server name in user ids: @alice:SERVER_NAME.")
    timeout: Seconds = Field(30, description="Seconds until a request to the homeserver is given up and tried again.")
    connections: int = Field(100, ge=1, le=10_000, description="Connections to the homeserver at most.")


class AppService(Model):
    id: str = Field("rialto", min_length=1, description="The id of the registration.")
    url: HttpUrl = Field("http://127.0.0.1:29300", description="Where the homeserver reaches Rialto.")
    listen: Address = Field("127.0.0.1:29300", description="host:port that Rialto listens on for the homeserver.")
    as_token: SecretStr = Field(description="Rialto shows this token to the homeserver. `rialto register` makes both.")
    hs_token: SecretStr = Field(description="The homeserver shows this token to Rialto.")
    sender_localpart: str = Field(
        "_rialto", pattern=r"^[a-z0-9._=/+-]+$",
        description="The steward: the user that administers rooms. It has no device and can read nothing encrypted.",
    )
    max_body: int = Field(
        16 * 1024 * 1024, ge=65_536, description="Bytes of a transaction at most; a larger one is answered 413.",
    )


class Database(Model):
    url: str = Field(
        "sqlite:///data/rialto.db",
        description="sqlite:///PATH (relative to this file) or postgresql://USER:PASSWORD@HOST:PORT/NAME.",
    )
    pool_size: int = Field(8, ge=1, le=200, description="Connections to PostgreSQL at most. SQLite uses one writer.")

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if not value.startswith(("sqlite:///", "postgresql://", "postgres://")):
            raise ValueError("needs sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME")
        return value


class Encryption(Model):
    pickle_key: SecretStr = Field(
        min_length=16,
        description="Encrypts key material and queued messages at rest. Without it the bots' devices are lost: back it up.",
    )
    rotate_messages: int = Field(100, ge=1, le=10_000, description="A new Megolm session after this many messages.")
    rotate_after: Seconds = Field(7 * 86_400, description="A new Megolm session after this many seconds.")
    key_wait: Seconds = Field(
        5, description="Seconds that a room waits, in order, for the key of an encrypted event before the event is parked.",
    )
    give_up_after: Seconds = Field(
        300, description="Seconds after which the bot says once that it cannot read a message whose key never came.",
    )


class Engine(Model):
    shards: int = Field(1, ge=1, le=1024, description="Shards of rooms. Fixed at installation.")
    concurrency: int = Field(64, ge=1, le=10_000, description="Rooms worked at the same time.")
    attempts: int = Field(5, ge=1, le=100, description="Attempts until an event that a handler fails on is a dead letter.")
    backoff: Seconds = Field(0.25, description="Seconds before the second attempt; doubled for each further one.")
    backoff_max: Seconds = Field(30, description="Seconds between two attempts at most.")
    handler_timeout: Seconds = Field(60, description="Seconds until a handler is stopped and counted as failed.")
    grace: Seconds = Field(20, description="Seconds that running handlers get to finish at SIGTERM.")
    retention: Seconds = Field(
        7 * 86_400, description="Seconds that finished inbox and outbox rows (without their content) are kept.",
    )
    sends_per_bot: int = Field(64, ge=1, le=10_000, description="Messages that one bot sends at the same time at most.")


class Invites(Model):
    allow_servers: tuple[str, ...] = Field(
        (), description="Servers beside our own whose users may invite bots; '*' allows every server.",
    )


class Bot(Model):
    plugin: str = Field(min_length=1, description="The plugin that answers: hub, echo.")
    localpart: str = Field(pattern=r"^[a-z0-9._=/+-]+$", description="The bot's user is @LOCALPART:SERVER_NAME.")
    display_name: str = Field(min_length=1, max_length=256, description="The name people see.")
    enabled: bool = Field(True, description="A disabled bot is not started.")


class LogFormat(StrEnum):
    PRETTY = "pretty"
    JSON = "json"


class Logging(Model):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least level that is written.")
    format: LogFormat = Field(LogFormat.PRETTY, description="pretty for people, json for machines.")


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
    invites: Invites = Field(default_factory=Invites, description="Who may invite bots.")
    bots: tuple[Bot, ...] = Field(DEFAULT_BOTS, description="The bots, each a Matrix user with its own device.")
    logging: Logging = Field(default_factory=Logging, description="Logs. They never hold bodies, tokens or keys.")
    metrics: Metrics = Field(default_factory=Metrics, description="Prometheus metrics and health checks.")
