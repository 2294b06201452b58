"""What the local stack writes: Synapse's configuration, the registration, the first configuration."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from appservice.config import Config, load_config
from appservice.local.accounts import LocalAccount, read_accounts, take_unshown, write_accounts
from appservice.local.environment import PipProgress, environment_path, lock_text, synapse_version
from appservice.local.errors import LocalError
from appservice.local.files import write_private
from appservice.local.layout import Layout
from appservice.local.prepare import PORTS, _synapse, config_values
from appservice.local.registration import mismatches, read_registration, registration_of, write_registration
from appservice.local.synapse import SynapseSettings, read_settings, write_synapse
from appservice.local.yaml import to_yaml


def load(path: Path) -> Any:
    """The value of a YAML file."""
    return YAML(typ="safe").load(path.read_text())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The configuration of a new local stack."""
    path = tmp_path / "config.yaml"
    write_private(path, to_yaml(config_values(PORTS, "k" * 32)))
    return load_config(path)


def test_synapse_listens_on_the_loopback_alone_and_talks_to_no_other_server(tmp_path: Path) -> None:
    value = load(write_synapse(SynapseSettings(tmp_path / "s", 8008)))
    (listener,) = value["listeners"]
    assert listener["bind_addresses"] == ["127.0.0.1"]
    assert set(listener["resources"][0]["names"]) == {"client", "federation", "openid"}
    assert value["federation_domain_whitelist"] == []
    assert value["trusted_key_servers"] == []
    assert value["report_stats"] is False
    assert value["enable_registration"] is False
    assert value["default_room_version"] == "11"


def test_secrets_of_synapse_are_private_and_random(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        write_synapse(SynapseSettings(tmp_path / name, 8008))
        for file in ("homeserver.yaml", "signing.key", "log.yaml"):
            assert stat.S_IMODE((tmp_path / name / file).stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700
        value = load(tmp_path / name / "homeserver.yaml")
        texts.append([value[key] for key in ("registration_shared_secret", "macaroon_secret_key", "form_secret")])
        texts[-1].append((tmp_path / name / "signing.key").read_text())
    assert not set(texts[0]) & set(texts[1])
    assert len(set(texts[0])) == 4


def test_a_signing_key_outlives_a_new_configuration(tmp_path: Path) -> None:
    write_synapse(SynapseSettings(tmp_path, 8008))
    key = (tmp_path / "signing.key").read_text()
    assert re.fullmatch(r"ed25519 a_[0-9a-f]{4} [A-Za-z0-9+/]{43}\n", key)
    write_synapse(SynapseSettings(tmp_path, 8009))
    assert (tmp_path / "signing.key").read_text() == key


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    settings = SynapseSettings(tmp_path, 8123, "example.org", (tmp_path / "r.yaml",), bcrypt_rounds=4)
    write_synapse(settings)
    assert read_settings(tmp_path) == settings
    (tmp_path / "homeserver.yaml").write_text("server_name: x\n")
    with pytest.raises(LocalError, match="not the configuration of a local Synapse"):
        read_settings(tmp_path)


def test_the_registration_fits_its_configuration(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "registration.yaml"
    write_registration(path, registration_of(config))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    registration = read_registration(path)
    assert mismatches(config, registration) == []
    assert registration["rate_limited"] is False
    assert registration["receive_ephemeral"] is True
    users = [re.compile(entry["regex"]) for entry in registration["namespaces"]["users"]]
    covered = {
        name: any(pattern.match(f"@{name}:localhost") for pattern in users)
        for name in ("rialto", "echo", "_rialto", "_rialto_alice", "alice", "rialto2", "x_rialto")
    }
    assert covered == {
        "rialto": True,
        "echo": True,
        "_rialto": True,
        "_rialto_alice": True,
        "alice": False,
        "rialto2": False,
        "x_rialto": False,
    }
    assert not any(pattern.match("@rialto:localhostXevil.org") for pattern in users)


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        ({"id": "other"}, "id", "appservice.id is 'rialto'"),
        ({"url": "http://127.0.0.1:1"}, "url", "appservice.url"),
        ({"as_token": "x"}, "as_token", "appservice.as_token"),
        ({"hs_token": "x"}, "hs_token", "appservice.hs_token"),
        ({"sender_localpart": "bot"}, "sender_localpart", "'_rialto'"),
        ({"rate_limited": True}, "rate_limited", "must be false"),
        ({"receive_ephemeral": False}, "receive_ephemeral", "must be true"),
        ({"namespaces": {}}, "namespaces.users", "is missing"),
        ({"namespaces": {"users": [{"exclusive": True, "regex": "("}]}}, "namespaces.users[0]", "no valid regex"),
        ({"namespaces": {"users": [{"exclusive": True, "regex": "@_?rialto:.*"}]}}, "namespaces.users", "@echo:local"),
        ({"namespaces": {"users": [{"exclusive": False, "regex": "@.*"}]}}, "namespaces.users", "not exclusively"),
        (
            {"namespaces": {"users": [{"exclusive": True, "regex": "@.*"}]}},
            "namespaces.aliases",
            "#_rialto_…:localhost",
        ),
        (
            {
                "namespaces": {
                    "users": [{"exclusive": True, "regex": "@.*"}],
                    "aliases": [{"exclusive": False, "regex": "#.*"}],
                }
            },
            "namespaces.aliases",
            "not exclusively",
        ),
    ],
)
def test_every_mismatch_is_named(config: Config, change: dict[str, Any], key: str, says: str) -> None:
    registration = {**registration_of(config), **change}
    found = mismatches(config, registration)
    assert any(where == key and says in problem for where, problem in found), found
    for _, problem in found:
        assert config.appservice.as_token.get_secret_value() not in problem


def test_a_registration_that_is_none_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    with pytest.raises(LocalError, match="no such file"):
        read_registration(path)
    path.write_text("- a\n")
    with pytest.raises(LocalError, match="not a registration"):
        read_registration(path)
    path.write_text("{")
    with pytest.raises(LocalError, match="cannot be read"):
        read_registration(path)


def test_the_stack_refuses_a_synapse_that_is_not_the_configured_one(config: Config, tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    write_synapse(SynapseSettings(layout.synapse, 8999, config.homeserver.server_name))
    with pytest.raises(LocalError, match=r"homeserver.url is http://127.0.0.1:8008.*8999"):
        _synapse(layout, config, print)


def test_the_stack_starts_no_homeserver_of_another_machine(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    values = config_values(PORTS, "k" * 32)
    values["homeserver"]["url"] = "https://matrix.example.org"
    write_private(path, to_yaml(values))
    with pytest.raises(LocalError, match="rialto run"):
        _synapse(Layout.at(tmp_path), load_config(path), print)


def test_passwords_are_shown_once(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    assert take_unshown(layout) == []
    write_accounts(
        layout,
        {
            "alice": LocalAccount("@alice:x", "p1", made=True),
            "bob": LocalAccount("@bob:x", "p2"),
            "root": LocalAccount("@root:x", "p3", admin=True, made=True),
        },
    )
    assert [account.user_id for account in take_unshown(layout)] == ["@alice:x"]
    assert take_unshown(layout) == []
    assert read_accounts(layout)["alice"].password == "p1"
    assert stat.S_IMODE(layout.accounts.stat().st_mode) == 0o600
    assert "p1" not in repr(read_accounts(layout))


def test_the_locks_pin_versions_and_hashes_and_name_no_host_or_path() -> None:
    assert synapse_version() == "1.163.2"
    root = Path(__file__).parents[2]
    for text in (lock_text(), (root / "requirements.lock").read_text()):
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        requirements = "\n".join(lines).replace(" \\\n", " ").splitlines()
        assert len(requirements) > 20
        for line in requirements:
            form = r"[A-Za-z0-9._\[\]-]+==[A-Za-z0-9.!+]+( ; [^/]+?)?( +--hash=sha256:[0-9a-f]{64})+"
            assert re.fullmatch(form, line), line[:200]


def test_the_environment_can_be_put_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RIALTO_SYNAPSE_VENV", raising=False)
    assert environment_path(tmp_path).name == ".venv-synapse", "beside a checkout"
    monkeypatch.setenv("RIALTO_SYNAPSE_VENV", str(tmp_path / "here"))
    assert environment_path(None) == tmp_path / "here"


def test_pips_output_becomes_a_few_steps() -> None:
    steps: list[str] = []
    progress = PipProgress(steps.append)
    for number in range(25):
        progress(f"Collecting package{number}")
        progress("  Downloading it")
    progress("Installing collected packages: all")
    assert len(steps) == 3
    assert "25 packages" in steps[-1]
