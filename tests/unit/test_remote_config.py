"""Plugins outside the process in the configuration: what is wrong is said with its key, the service has the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from appservice.config import Config, ConfigError, load_config
from appservice.main import build

TOKEN = "0123456789abcdef0123456789abcdef"


def configured(folder: Path, *bots: Mapping[str, Any], enabled: bool = True) -> Config:
    """A configuration with these bots."""
    (folder / "token").write_text(TOKEN + "\n")
    (folder / "short").write_text("short\n")
    whole = {
        "homeserver": {"url": "http://127.0.0.1:1", "server_name": "localhost"},
        "appservice": {"as_token": "as" * 20, "hs_token": "hs" * 20},
        "database": {"url": f"sqlite:///{folder / 'rialto.db'}"},
        "encryption": {"pickle_key": "a pickle key that only tests use"},
        "web": {"enabled": enabled},
        "bots": [{"plugin": "coffee", "localpart": "coffee", "display_name": "Coffee", **bot} for bot in bots],
    }
    file = folder / "config.yaml"
    YAML().dump(whole, file)
    file.chmod(0o600)
    return load_config(file)


def test_a_plugin_outside(tmp_path: Path) -> None:
    """It is not looked for here, and has a consumer of its own."""
    rialto = build(configured(tmp_path, {"remote_token_file": "token", "scopes": ["http"]}))
    assert rialto.outside is not None
    assert [consumer.name for consumer in rialto.outside.consumers] == ["coffee:@coffee:localhost"]
    assert rialto.host.problems == []


@pytest.mark.parametrize(
    ("bots", "enabled", "words"),
    [
        ([{"remote_token_file": "none"}], True, "bots.0.remote_token_file 'none'"),
        ([{"remote_token_file": "short"}], True, "32 characters"),
        ([{"remote_token_file": "token"}], False, "set web.enabled"),
        (
            [{"remote_token_file": "token"}, {"remote_token_file": "token", "name": "tea", "localpart": "tea"}],
            True,
            "same token",
        ),
    ],
)
def test_what_cannot_be(tmp_path: Path, bots: list[dict[str, Any]], words: str, *, enabled: bool) -> None:
    """Said with the key, and never with the token."""
    with pytest.raises(ConfigError) as caught:
        build(configured(tmp_path, *bots, enabled=enabled))
    assert words in str(caught.value)
    assert TOKEN not in str(caught.value)
