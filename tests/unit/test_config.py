"""The loader: every problem at once, each with its place, never a secret."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from appservice import log as logs
from appservice.config import Config, ConfigError, load_config, read_config, secrets_of
from appservice.config.models import DEFAULT_BOTS
from appservice.config.schema import Kind, leaves

AS_TOKEN = "as-token-5d41402abc4b"
HS_TOKEN = "hs-token-7d793037a076"
PICKLE_KEY = "pickle-key-2a79f1e0c3"
MINIMAL = f"""\
appservice:
  as_token: {AS_TOKEN}
  hs_token: {HS_TOKEN}
encryption:
  pickle_key: {PICKLE_KEY}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, so that places read as an operator sees them."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _own_secrets() -> Iterator[None]:
    """What these tests register is not hidden from the logs of others."""
    before = set(logs._redactor.values)
    yield
    logs._redactor.replace(before)


def write(text: str | bytes, name: str = "config.yaml", mode: int = 0o600) -> Path:
    path = Path(name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def problems(text: str | bytes, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(write(text), environ or {})
    assert caught.value.code == "config_error"
    assert str(caught.value).splitlines() == [str(each) for each in caught.value.problems]
    return str(caught.value).splitlines()


def load(text: str = MINIMAL, environ: dict[str, str] | None = None) -> Config:
    return load_config(write(text), environ or {})


def test_minimal_file_takes_the_defaults(folder: Path) -> None:
    config = load()
    assert config.appservice.as_token.get_secret_value() == AS_TOKEN
    assert config.engine.attempts == 5
    assert config.bots == DEFAULT_BOTS
    assert AS_TOKEN not in repr(config)


def test_every_problem_is_told_at_once_in_the_order_of_the_file(folder: Path) -> None:
    text = """\
homeserver:
  server_name: example.org
  url: matrix.org
  conections: 5
appservice:
  as_token: as-token-5d41402abc4b
engine:
  attempts: 0
  shards: three
  backoff: true
bots:
  - plugin: hub
    localpart: Rialto
    display_name: ""
loging: {}
"""
    assert problems(text) == [
        "config.yaml:1: encryption.pickle_key is missing",
        "config.yaml:3: homeserver.url needs http:// or https://, got 'matrix.org'",
        "config.yaml:4: homeserver.conections is not known, did you mean connections?",
        "config.yaml:5: appservice.hs_token is missing",
        "config.yaml:8: engine.attempts needs 1 or more, got 0",
        "config.yaml:9: engine.shards needs a whole number, got 'three'",
        "config.yaml:10: engine.backoff needs a number, got true",
        "config.yaml:13: bots[0].localpart needs lower-case letters, digits and . _ = / + - only, got 'Rialto'",
        "config.yaml:14: bots[0].display_name must not be empty",
        "config.yaml:15: loging is not known, did you mean logging?",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "config.yaml: is empty; config.example.yaml shows what it needs"),
        ("# nothing yet\n", "config.yaml: is empty; config.example.yaml shows what it needs"),
        ("- a\n- b\n", "config.yaml:1: needs keys with values (key: value) at its top"),
        ("just words\n", "config.yaml:1: needs keys with values (key: value) at its top"),
        (b"a: 1\nb: \xff\xfe\n", "config.yaml:2: is not UTF-8"),
        ("a: 1\nb: \x07\n", "config.yaml:2: holds the character U+0007, which YAML forbids"),
        ("a: 1\nb: [1, 2\n", "config.yaml:3: is not YAML: while parsing a flow sequence: expected ',' or ']', but got"),
        ("a: 1\nb: c: d\n", "config.yaml:2: is not YAML: mapping values are not allowed here"),
        ("a: 1\n\tb: 2\n", "config.yaml:2: is not YAML: while scanning for the next token: found character '\\t'"),
        ("a: 1\n--- \nb: 2\n", "config.yaml:2: is not YAML: expected a single document in the stream"),
        ("a: *other\n", "config.yaml:1: is not YAML: found undefined alias …"),
        ("[" * 5000, "config.yaml: is nested too deeply"),
        ("a: " + "x" * 300_000, "config.yaml: is too long: 262144 characters at most"),
    ],
)
def test_what_is_not_a_mapping_in_yaml_is_one_clear_problem(folder: Path, text: str | bytes, told: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(told)


def test_aliases_that_unfold_to_millions_of_values_are_refused(folder: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert problems("\n".join(lines)) == ["config.yaml: holds more than 20000 values"]


def test_the_parsers_own_warnings_do_not_quote_the_file(folder: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        problems("a: &swordfish 1\nb: &swordfish 2\n")
    assert caught == []


def test_a_file_that_cannot_be_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^missing\.yaml: does not exist; config\.example\.yaml shows"):
        load_config(Path("missing.yaml"), {})
    with pytest.raises(ConfigError, match="is a folder, not a file"):
        load_config(folder, {})
    with pytest.raises(ConfigError, match="cannot be read: bad path"):
        load_config(Path("a\0b"), {})

    def refused(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    path = write(MINIMAL)
    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(ConfigError, match=r"^config\.yaml: cannot be read: Permission denied$"):
        load_config(path, {})


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("engine: {attempts: 3}\nengine: {}", "config.yaml:7: engine is there twice, first in line 6"),
        ("engine: {grace: 1, grace: 2}", "config.yaml:6: grace is there twice, first in line 6"),
        ("engine: 5", "config.yaml:6: engine needs a section of keys, got a plain value"),
        ("engine: [attempts]", "config.yaml:6: engine needs a section of keys, got a list"),
        ("engine: {attempts: }", "config.yaml:6: engine.attempts is empty, needs a whole number"),
        ("engine: {attempts: 2.5}", "config.yaml:6: engine.attempts needs a whole number, got 2.5"),
        ("engine: {grace: .inf}", "config.yaml:6: engine.grace needs a finite number"),
        ("engine: {grace: -1}", "config.yaml:6: engine.grace needs more than 0.0, got -1"),
        ("engine: {attempts: 101}", "config.yaml:6: engine.attempts needs 100 or less, got 101"),
        ("engine: {attempts: !!python/object:os.system 3}", "config.yaml:6: holds a YAML tag or merge key"),
        ("homeserver: &h {server_name: *h}", "config.yaml:6: a value contains itself"),
        ("homeserver: {<<: {timeout: 3}}", "config.yaml:6: merge keys (<<) are not taken"),
        ("homeserver: {url: 5}", "config.yaml:6: homeserver.url needs text (put it in quotes), got 5"),
        ("homeserver: {url: 'http://'}", "config.yaml:6: homeserver.url needs a URL with a valid host and port"),
        ("homeserver: {url: 'http://h:99999'}", "config.yaml:6: homeserver.url needs a URL with a valid host and port"),
        ("homeserver: {url: 'http://a:b@h'}", "config.yaml:6: homeserver.url needs a URL without user, query or"),
        ("homeserver: {server_name: 'https://x'}", "config.yaml:6: homeserver.server_name needs a server name like"),
        ("homeserver: {[a]: 1}", "config.yaml:6: a key must be plain text"),
        ("logging: {level: loud}", "config.yaml:6: logging.level needs one of debug, info, warning, error, got 'loud'"),
        ("logging: {format: [json]}", "config.yaml:6: logging.format needs one of pretty, json, got a list"),
        ("metrics: {enabled: 'yes'}", "config.yaml:6: metrics.enabled needs true or false, got 'yes'"),
        ("metrics: {listen: '9000'}", "config.yaml:6: metrics.listen needs host:port, got '9000'"),
        ("metrics: {listen: '::1:9000'}", "config.yaml:6: metrics.listen needs brackets around an IPv6 host"),
        ("metrics: {listen: '127.0.0.1:29300'}", "config.yaml:6: metrics.listen needs another port than"),
        ("metrics: {listen: '0.0.0.0:29300'}", "config.yaml:6: metrics.listen needs another port than"),
        ("bots: {plugin: hub}", "config.yaml:6: bots needs a list, got a section of keys"),
        ("bots:", "config.yaml:6: bots is empty, needs a list, [] for none"),
        ("bots: [hub]", "config.yaml:6: bots[0] needs a section of keys, got a plain value"),
        ("invites: {allow_servers: ['a b']}", "config.yaml:6: invites.allow_servers[0] needs a server name like"),
        ("invites: {allow_servers: example.org}", "config.yaml:6: invites.allow_servers needs a list, got"),
        (
            "url: http://x",
            "config.yaml:6: url is not known here, it belongs under homeserver or appservice or database",
        ),
        ("database: {url: 'mysql://h/x'}", "config.yaml:6: database.url needs sqlite:///PATH or postgresql://"),
        ("database: {url: 'postgresql+asyncpg://h/x'}", "config.yaml:6: database.url needs sqlite:///PATH or"),
        ("database: {url: 'postgresql://u:p@h'}", "config.yaml:6: database.url needs the name of the database"),
        ("database: {url: 'postgresql:///x'}", "config.yaml:6: database.url needs a host"),
        ("database: {url: 'postgresql://h:x/n'}", "config.yaml:6: database.url needs a valid host and port"),
        ("database: {url: 'sqlite:///'}", "config.yaml:6: database.url needs the path of a file"),
        ("database: {url: 'sqlite:///:memory:'}", "config.yaml:6: database.url needs the path of a file"),
        ("database: {url: 'sqlite:///a?mode=ro'}", "config.yaml:6: database.url needs a plain path"),
        ("engine: {shards: 2}", "config.yaml:6: engine.shards needs PostgreSQL to be more than 1"),
        ("engine: {backoff: 40}", "config.yaml:6: engine.backoff needs to be at most engine.backoff_max (30)"),
        ("encryption2: {}", "config.yaml:6: encryption2 is not known, did you mean encryption?"),
    ],
)
def test_one_wrong_line_is_one_problem(folder: Path, extra: str, told: str) -> None:
    (problem,) = problems(MINIMAL + extra)
    assert problem.startswith(told)


def test_bots_have_different_names_and_are_not_the_steward(folder: Path) -> None:
    bots = """\
bots:
  - {plugin: hub, localpart: rialto, display_name: Rialto}
  - {plugin: echo, localpart: _rialto, display_name: Echo}
  - {plugin: echo, name: again, localpart: rialto, display_name: Again}
"""
    assert problems(MINIMAL + bots) == [
        "config.yaml:8: bots[1].localpart is the steward's (appservice.sender_localpart): "
        "'_rialto' cannot be a bot as well",
        "config.yaml:9: bots[2].localpart is taken by bots[0] already: 'rialto'",
    ]
    assert problems(MINIMAL.replace("appservice:", "appservice:\n  sender_localpart: echo")) == [
        "config.yaml:1: bots[1].localpart is the steward's (appservice.sender_localpart): "
        "'echo' cannot be a bot as well"
    ]


def test_a_user_id_has_255_bytes_at_most(folder: Path) -> None:
    (problem,) = problems(
        f"{MINIMAL}homeserver: {{server_name: {'a' * 200}}}\n"
        f"bots: [{{plugin: hub, localpart: {'b' * 54}, display_name: B}}]\n"
    )
    assert problem.startswith("config.yaml:7: bots[0].localpart is too long")
    assert load(
        f"{MINIMAL}homeserver: {{server_name: {'a' * 200}}}\n"
        f"bots: [{{plugin: hub, localpart: {'b' * 53}, display_name: B}}]\n"
    )


def test_the_longest_pause_may_be_the_first(folder: Path) -> None:
    assert load(MINIMAL + "engine: {backoff: 2, backoff_max: 2}").engine.backoff == 2


def test_metrics_may_share_the_port_on_another_address_or_be_off(folder: Path) -> None:
    assert load(MINIMAL + "metrics: {listen: '127.0.0.2:29300'}")
    assert load(MINIMAL + "metrics: {listen: '127.0.0.1:29300', enabled: false}")
    assert load(
        MINIMAL.replace("appservice:", "appservice:\n  listen: 127.0.0.1:0") + "metrics: {listen: '127.0.0.1:0'}"
    )
    assert load(MINIMAL + "metrics: {listen: '127.0.0.1:0'}").metrics.listen == "127.0.0.1:0"


def test_sqlite_path_is_relative_to_the_file(folder: Path) -> None:
    (folder / "etc").mkdir()
    path = write(MINIMAL + "database: {url: 'sqlite:///../var/r.db'}", "etc/config.yaml")
    assert load_config(path, {}).database.url == f"sqlite:///{folder}/var/r.db"
    path = write(MINIMAL + "database: {url: 'sqlite:////srv/r.db'}", "etc/config.yaml")
    assert load_config(path, {}).database.url == "sqlite:////srv/r.db"
    assert load().database.url == f"sqlite:///{folder}/data/rialto.db"


# --- environment


def test_environment_overrides_the_file(folder: Path) -> None:
    config = load(
        MINIMAL + "database: {pool_size: 3}\ninvites: {allow_servers: [a.org]}",
        {
            "RIALTO__DATABASE__URL": "postgresql://u:p@db/rialto",
            "RIALTO__DATABASE__POOL_SIZE": "20",
            "RIALTO__ENGINE__GRACE": "2.5",
            "RIALTO__METRICS__ENABLED": "false",
            "RIALTO__LOGGING__FORMAT": "json",
            "RIALTO__INVITES__ALLOW_SERVERS": '["b.org", "c.org:8448"]',
            "RIALTO__APPSERVICE__AS_TOKEN": "0123456789",
            "RIALTO__HOMESERVER__TIMEOUT": "",
            "RIALTOX": "ignored",
            "PATH": "/bin",
        },
    )
    assert config.database.url == "postgresql://u:p@db/rialto"
    assert config.database.pool_size == 20
    assert config.engine.grace == 2.5
    assert config.metrics.enabled is False
    assert config.logging.format == "json"
    assert config.invites.allow_servers == ("b.org", "c.org:8448")
    assert config.appservice.as_token.get_secret_value() == "0123456789"
    assert config.homeserver.timeout == 30


def test_bots_by_index_and_as_a_whole(folder: Path) -> None:
    there = len(DEFAULT_BOTS)
    assert [bot.enabled for bot in load(environ={"RIALTO__BOTS__1__ENABLED": "true"}).bots][:2] == [True, True]
    added = {
        f"RIALTO__BOTS__{there}__PLUGIN": "echo",
        f"RIALTO__BOTS__{there}__NAME": "second",
        f"RIALTO__BOTS__{there}__LOCALPART": "echo2",
        f"RIALTO__BOTS__{there}__DISPLAY_NAME": "Second echo",
    }
    assert [bot.localpart for bot in load(environ=added).bots] == [*(bot.localpart for bot in DEFAULT_BOTS), "echo2"]
    whole = {
        "RIALTO__BOTS": '[{"plugin": "hub", "localpart": "hub", "display_name": "Hub"}]',
        "RIALTO__BOTS__0__DISPLAY_NAME": "A better name",
    }
    assert [(bot.localpart, bot.display_name) for bot in load(environ=whole).bots] == [("hub", "A better name")]
    many = ", ".join(f"{{plugin: echo, name: e{n}, localpart: e{n}, display_name: E}}" for n in range(11))
    ten = {"RIALTO__BOTS": f"[{many}]", "RIALTO__BOTS__11__PLUGIN": "hub", "RIALTO__BOTS__11__LOCALPART": "h",
           "RIALTO__BOTS__11__DISPLAY_NAME": "H", "RIALTO__BOTS__2__LOCALPART": "two"}  # fmt: skip
    assert [bot.localpart for bot in load(environ=ten).bots][2::9] == ["two", "h"]
    numbered = {
        f"RIALTO__BOTS__{n}__{key}": value
        for n in range(there, 12)
        for key, value in {"PLUGIN": "echo", "NAME": f"e{n}", "LOCALPART": f"e{n}", "DISPLAY_NAME": "E"}.items()
    }
    assert [bot.localpart for bot in load(environ=numbered).bots][there:] == [f"e{n}" for n in range(there, 12)]
    assert load(environ={"RIALTO__INVITES__ALLOW_SERVERS__0": "x.org"}).invites.allow_servers == ("x.org",)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("RIALTO__DATABASE__POOL_SIZE", "many", "database.pool_size needs a whole number, got 'many'"),
        ("RIALTO__DATABASE__POOL_SIZE", "0", "database.pool_size needs 1 or more, got 0"),
        (
            "RIALTO__DATABASE__POOLSIZE",
            "3",
            "is not a key of the configuration, did you mean RIALTO__DATABASE__POOL_SIZE?",
        ),
        ("RIALTO__BOTS__0__NAMES", "3", "is not a key of the configuration"),
        ("RIALTO__QQQQQQQQ", "3", "is not a key of the configuration"),
        ("RIALTO__", "3", "is not a key of the configuration"),
        ("RIALTO__DATABASE__URL__X", "3", "is not a key of the configuration, did you mean RIALTO__DATABASE__URL?"),
        ("RIALTO__HOMESERVER", "{}", "names a section: set one of its keys, like RIALTO__HOMESERVER__URL"),
        ("RIALTO__HOMESERVER__URL", "matrix.org", "homeserver.url needs http:// or https://, got 'matrix.org'"),
        ("RIALTO__METRICS__ENABLED", "[", "needs true or false as YAML or JSON"),
        ("RIALTO__INVITES__ALLOW_SERVERS", "a.org", "invites.allow_servers needs a list, got 'a.org'"),
        ("RIALTO__BOTS__9__PLUGIN", "hub", f"names entry 9, but the list has {len(DEFAULT_BOTS)} (counted from 0)"),
        ("RIALTO__BOTS__0", "{}", "names a whole entry: set one of its keys, or the whole list"),
        ("RIALTO__ENCRYPTION__PICKLE_KEY", "short", "encryption.pickle_key needs 16 characters or more"),
        ("RIALTO__ENCRYPTION__PICKLE_KEY_FILE", "gone", "encryption.pickle_key is to be read from 'gone', which does"),
        (
            "RIALTO__ENCRYPTION__PICKEL_KEY_FILE",
            "x",
            "is not a key of the configuration, did you mean RIALTO__ENCRYPTION",
        ),
        (
            "RIALTO__HOMESERVER__URL_FILE",
            "x",
            "is not a key of the configuration, did you mean RIALTO__HOMESERVER__URL?",
        ),
    ],
)
def test_a_wrong_override_names_its_variable(folder: Path, variable: str, value: str, told: str) -> None:
    (problem,) = problems(MINIMAL, {variable: value})
    assert problem.startswith(f"{variable}: {told}")


def test_two_variables_for_one_key_are_refused(folder: Path) -> None:
    write("the-other-token", "token")
    environ = {"RIALTO__APPSERVICE__AS_TOKEN": "the-token-itself", "RIALTO__APPSERVICE__AS_TOKEN_FILE": "token"}
    assert problems(MINIMAL, environ) == [
        "RIALTO__APPSERVICE__AS_TOKEN_FILE: sets the same key as RIALTO__APPSERVICE__AS_TOKEN: keep one of them"
    ]


def test_an_override_does_not_hide_a_broken_section(folder: Path) -> None:
    told = problems(MINIMAL + "engine: 5\n", {"RIALTO__ENGINE__ATTEMPTS": "3"})
    assert told == [
        "config.yaml:6: engine needs a section of keys, got a plain value",
        "RIALTO__ENGINE__ATTEMPTS: names a key of something that is not a section (config.yaml:6)",
    ]


def test_the_environment_alone_can_hold_every_secret(folder: Path) -> None:
    environ = {
        "RIALTO__APPSERVICE__AS_TOKEN": AS_TOKEN,
        "RIALTO__APPSERVICE__HS_TOKEN": HS_TOKEN,
        "RIALTO__ENCRYPTION__PICKLE_KEY": PICKLE_KEY,
    }
    assert load("homeserver: {}\n", environ).encryption.pickle_key.get_secret_value() == PICKLE_KEY


# --- secrets


def test_secrets_from_files(folder: Path) -> None:
    (folder / "etc").mkdir()
    write("as-from-a-file\n", "etc/as")
    write("hs-from-a-file\r\n", "etc/hs")
    write("\ufeffpickle key from a file", "etc/key")
    write("postgresql://rialto:p%40ssword1@db/rialto\n", "etc/db")
    text = """\
appservice: {as_token: {file: as}, hs_token: {file: ./hs}}
database: {url: {file: db}}
"""
    config = load_config(write(text, "etc/config.yaml"), {"RIALTO__ENCRYPTION__PICKLE_KEY_FILE": "key"})
    assert config.appservice.as_token.get_secret_value() == "as-from-a-file"
    assert config.appservice.hs_token.get_secret_value() == "hs-from-a-file"
    assert config.encryption.pickle_key.get_secret_value() == "pickle key from a file"
    assert config.database.url == "postgresql://rialto:p%40ssword1@db/rialto"
    assert set(secrets_of(config)) >= {"as-from-a-file", "p%40ssword1", "p@ssword1"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "which does not exist"),
        (b"", "which is empty"),
        (b"\n", "which is empty"),
        (b"\xff\xfe", "which is not UTF-8"),
        (b"x" * 70_000, "which is larger than 65536 bytes"),
    ],
)
def test_a_secret_file_that_does_not_hold_one(folder: Path, content: bytes | None, told: str) -> None:
    if content is not None:
        write(content, "key")
    (problem,) = problems(MINIMAL.replace(PICKLE_KEY, "{file: key}"))
    assert problem == f"config.yaml:5: encryption.pickle_key is to be read from 'key', {told}"


def test_a_folder_or_a_wrong_shape_is_no_secret_file(folder: Path) -> None:
    (problem,) = problems(MINIMAL.replace(PICKLE_KEY, f"{{file: {folder}}}"))
    assert problem.endswith("which is not a file")
    for wrong in ("{path: key}", "{file: [key]}", "{file: a, mode: b}", "{}"):
        assert problems(MINIMAL.replace(PICKLE_KEY, wrong)) == [
            "config.yaml:5: encryption.pickle_key needs text, or {file: PATH} with a path and nothing else"
        ]


def test_wrong_secrets_are_told_without_their_value(folder: Path) -> None:
    text = """\
appservice:
  as_token: "has a space in it 1234"
  hs_token: 9172635441
encryption:
  pickle_key: tooshort77
"""
    assert problems(text) == [
        "config.yaml:2: appservice.as_token needs printable ASCII characters without spaces",
        "config.yaml:3: appservice.hs_token needs text, or {file: PATH}, got something else (put it in quotes)",
        "config.yaml:5: encryption.pickle_key needs 16 characters or more",
    ]
    assert problems(MINIMAL.replace(HS_TOKEN, AS_TOKEN)) == [
        "config.yaml:3: appservice.hs_token must differ from as_token"
    ]
    (problem,) = problems(MINIMAL.replace(AS_TOKEN, "CHANGE-ME"))
    assert problem.endswith("appservice.as_token still holds the placeholder of the example: put the real one")


@pytest.mark.parametrize("where", [
    "as_token: *{}", "as_token: !{} x", "as_token: &{} [", "as_token: '{}", "as_token:{}", "as_token: {}: x",
    "as_token: [{}]", "as_token: {{{}: 1}}", "as_token: {{as_token:{}}}", "{}: as_token", "as_tokn: {}",
    "as_token: |x {}", "%{}", "as_token: \"\\{}\"", "as_token: @{}", "as_token: `{}", "? [{}]\n  : x", "<<: {}",
    "as_token: &a {}\n  id: [*a]", "as_token: &a {}\n  url: *a", "as_token: {}\n  listen: {}", "as_token: *a'{}",
])  # fmt: skip
def test_a_secret_in_any_wrong_place_stays_out_of_the_error(folder: Path, where: str) -> None:
    secret = "d41d8cd98f00b204e9800998ecf8427e"
    for indented in (f"  {where}", where):
        told = problems(f"appservice:\n{indented.replace('{}', secret).replace('{{', '{').replace('}}', '}')}\n")
        assert secret not in "\n".join(told)
        assert secret[:12] not in "\n".join(told)


def test_secrets_in_a_file_that_everybody_reads_are_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(MINIMAL, mode=0o644)
    told = "config.yaml: holds secrets and every user of this machine can read it: chmod 600"
    assert [str(each) for each in read_config(path, {}).warnings] == [told]
    with caplog.at_level(logging.WARNING):
        load_config(path, {})
    assert caplog.messages == [told]
    assert not read_config(write(MINIMAL, mode=0o640), {}).warnings
    write("a pickle key in a file\n", "key", mode=0o644)
    text = "appservice: {as_token: {file: as}, hs_token: {file: hs}}\nencryption: {pickle_key: {file: key}}\n"
    text += "database: {url: 'sqlite:///r.db'}\n"
    write("0123456789", "as")
    write("9876543210", "hs")
    warnings = read_config(write(text, mode=0o644), {}).warnings
    assert [str(each) for each in warnings] == [
        "config.yaml:2: encryption.pickle_key stands in 'key', which every user of this machine can read: chmod 600"
    ]


def test_loaded_secrets_never_reach_a_log(folder: Path) -> None:
    load(MINIMAL + "database: {url: 'postgresql://rialto:swordfish-77@db/rialto'}\n")
    record = logging.makeLogRecord({"msg": f"{AS_TOKEN} {HS_TOKEN} {PICKLE_KEY} swordfish-77"})
    assert logs.PrettyFormatter().format(record).endswith("*** *** *** ***")


# --- anything at all

_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
_names = st.sampled_from(
    sorted({part for path, _ in leaves(Config) for part in path} | {"file", "plugin", "localpart", "display_name"})
) | st.text(max_size=8)
_trees = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4))


def attempt(path: Path, data: bytes, environ: dict[str, str] | None = None) -> ConfigError | Config:
    path.write_bytes(data)
    try:
        return load_config(path, environ or {})
    except ConfigError as error:
        assert error.problems
        assert all(str(each).startswith((str(path), "RIALTO__")) for each in error.problems)
        return error


_anything = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


_PIECES = [*"{}[]:,-?&*!|>'\"%@`#<~= \n\t", "  ", ": ", "- ", "<<: ", "&a", "*a", "!!", "---", "...", "1", "0x", "\\x"]
_PIECES += ["a", ".inf", "as_token", "appservice", "bots", "file"]
_FORMS = ["{}", "'{}'", '"{}"', "[{}]", "{{a: {}}}", "{{{}}}", "|\n    {}", "!{}", "&{}", "*{}", "{}: {}"]
_VARIABLES = ["__".join(("RIALTO", *path)).upper() for path, _ in leaves(Config)]


@_anything
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"%YAML 9.9\n---\na: 1")
@example(b"--- >\n \xc2\x85")
@example(b"a: !!int x")
@example(b"a: !!bool x")
@example(b"&a : *a")
def test_any_bytes_are_a_config_or_a_config_error(folder: Path, data: bytes) -> None:
    attempt(folder / "any.yaml", data)


@_anything
@given(st.lists(st.sampled_from(_PIECES), max_size=40))
def test_any_yaml_like_text_is_a_config_or_a_config_error(folder: Path, parts: list[str]) -> None:
    attempt(folder / "any.yaml", "".join(parts).encode())


@_anything
@given(_trees)
def test_any_json_tree_is_a_config_or_a_config_error(folder: Path, tree: Any) -> None:
    attempt(folder / "any.yaml", json.dumps({"engine": tree, "bots": tree, "appservice": tree}).encode())
    attempt(folder / "any.yaml", json.dumps(tree).encode())


_secret = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40).map(
    lambda text: f"Zq{text}"
)


@_anything
@given(_secret, st.sampled_from(_FORMS), st.text(st.sampled_from("{}[]:,'\"\n &*!x"), max_size=4))
def test_no_secret_is_told_however_broken_the_file(folder: Path, secret: str, form: str, after: str) -> None:
    value = form.replace("{{", "{").replace("}}", "}").replace("{}", secret)
    data = f"appservice:\n  as_token: {value}{after}\n  hs_token: {value}\nencryption:\n  pickle_key: {value}\n"
    result = attempt(folder / "any.yaml", data.encode())
    if isinstance(result, ConfigError):
        assert secret not in str(result).replace(str(folder), "")
        assert repr(secret)[1:-1] not in str(result)


@_anything
@given(
    st.dictionaries(
        st.sampled_from(_VARIABLES) | st.from_regex(r"RIALTO__[A-Z0-9_]{0,20}", fullmatch=True),
        st.text(max_size=20),
        max_size=4,
    )
)
def test_any_environment_is_a_config_or_a_config_error(folder: Path, environ: dict[str, str]) -> None:
    result = attempt(folder / "any.yaml", MINIMAL.encode(), environ)
    if isinstance(result, ConfigError):
        secret_keys = {"__".join(("RIALTO", *path)).upper() for path, key in leaves(Config) if key.kind is Kind.SECRET}
        for variable in secret_keys & environ.keys():
            value = environ[variable]
            told = [str(each) for each in result.problems if each.place.source == variable]
            assert not any(len(value) > 6 and value in each for each in told)


def test_the_real_environment_is_the_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIALTO__ENGINE__ATTEMPTS", "7")
    assert load_config(write(MINIMAL)).engine.attempts == 7
    assert os.environ["RIALTO__ENGINE__ATTEMPTS"] == "7"


BOTS = MINIMAL + "bots:\n"


@pytest.mark.parametrize(
    ("bots", "told"),
    [
        ("  - {plugin: echo}", ["config.yaml:7: bots[0].localpart is missing"]),
        ("  - {plugin: echo, localpart: e}", ["config.yaml:7: bots[0].display_name is missing"]),
        (
            "  - {plugin: echo, joins: e}",
            ["config.yaml:7: bots[0].joins needs the localpart of another bot, 'e' is none"],
        ),
        (
            "  - {plugin: hub, localpart: rialto, display_name: R}\n  - {plugin: echo, joins: rialta}",
            ["config.yaml:8: bots[1].joins needs the localpart of another bot, 'rialta' is none, did you mean rialto?"],
        ),
        (
            "  - {plugin: hub, localpart: rialto, display_name: R, joins: rialto}",
            [
                "config.yaml:7: bots[0].joins cannot stand beside localpart: a plugin has a user of its own, or joins "
                "another's"
            ],
        ),
        (
            "  - {plugin: hub, localpart: a, display_name: A}\n  - {plugin: hub, localpart: b, display_name: B}",
            ["config.yaml:8: bots[1].plugin needs a name: bots[0] is called 'hub' already"],
        ),
        (
            "  - {plugin: hub, localpart: a, display_name: A}\n  - {plugin: echo, name: hub, joins: a}",
            ["config.yaml:8: bots[1].name is taken by bots[0] already: 'hub'"],
        ),
        (
            "  - {plugin: hub, name: Hub!, localpart: a, display_name: A}",
            ["config.yaml:7: bots[0].name needs lower-case letters, digits and . _ - only, 64 at most, got 'Hub!'"],
        ),
        (
            "  - {plugin: hub, localpart: a, display_name: A, settings: [1]}",
            ["config.yaml:7: bots[0].settings needs a section of keys, got a list"],
        ),
        (
            "  - {plugin: hub, localpart: a, display_name: A, avatar: 'mxc://x'}",
            ["config.yaml:7: bots[0].avatar needs the path of an image file or mxc://SERVER/ID, got 'mxc://x'"],
        ),
    ],
)
def test_what_a_bot_needs(folder: Path, bots: str, told: list[str]) -> None:
    assert problems(BOTS + bots + "\n") == told


def test_settings_are_free_and_know_their_places(folder: Path) -> None:
    text = """\
  - plugin: hub
    localpart: a
    display_name: A
    avatar: pictures/a.png
    settings:
      text: x
      list:
        - {deep: 1}
  - {plugin: echo, joins: a}
"""
    config = load(BOTS + text, {"RIALTO__BOTS__0__SETTINGS__TEXT": "5", "RIALTO__BOTS__1__SETTINGS__MORE__KEYS": "[1]"})
    assert config.bots[0].settings == {"text": "5", "list": [{"deep": 1}]}
    assert config.bots[1].settings == {"more": {"keys": [1]}}
    assert str(config.place_of(("bots", "0", "settings", "list", "0", "deep"))) == "config.yaml:14"
    assert str(config.place_of(("bots", "0", "settings", "text"))) == "RIALTO__BOTS__0__SETTINGS__TEXT"
    assert str(config.place_of(("bots", "0", "settings", "absent"))) == "config.yaml:11"
    assert config.bots[0].avatar == str(Path.cwd() / "pictures" / "a.png")
    assert [bot.instance for bot in config.bots] == ["hub", "echo"]
    assert [bot.instance for bot in config.users] == ["hub"]
