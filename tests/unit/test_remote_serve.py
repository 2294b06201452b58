"""``rialto plugin serve``: its arguments, and how it tries again."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from appservice import cli
from appservice.commands.common import Exit
from bots.framework.remote import Server
from tests.support.remote import PLUGIN, TOKEN, served

URL = "ws://127.0.0.1:9/plugins/v1"


@pytest.fixture
def token(tmp_path: Path) -> str:
    """A file with a token."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return str(file)


def serve(*arguments: str) -> int:
    """The exit code."""
    return cli.main(["plugin", "serve", *arguments])


def test_no_token(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Neither a file nor a variable, or an empty one."""
    monkeypatch.delenv("RIALTO_PLUGIN_TOKEN", raising=False)
    assert serve(str(PLUGIN), "--url", URL) == Exit.USAGE
    assert "--token-file FILE, or $RIALTO_PLUGIN_TOKEN" in capsys.readouterr().err
    assert serve(str(PLUGIN), "--url", URL, "--token-file", str(tmp_path / "none")) == Exit.USAGE
    assert "FileNotFoundError" in capsys.readouterr().err
    (tmp_path / "empty").touch()
    assert serve(str(PLUGIN), "--url", URL, "--token-file", str(tmp_path / "empty")) == Exit.USAGE
    assert "holds no token" in capsys.readouterr().err


def test_addresses(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A token does not cross a network readable."""
    assert serve(str(PLUGIN), "--url", "ws://rialto.example.org/plugins/v1", "--token-file", token) == Exit.FAILED
    assert "use wss://" in capsys.readouterr().err


def test_plugins(token: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """None, a broken one, several."""
    assert serve(str(tmp_path / "none"), "--url", URL, "--token-file", token) != Exit.OK
    assert "does not exist" in capsys.readouterr().err
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "broken.py").write_text("class :")
    assert serve(str(folder / "broken.py"), "--url", URL, "--token-file", token) != Exit.OK
    assert "broken.py:1" in capsys.readouterr().err
    for name in ("one", "two"):
        code = f"from bots.framework import Plugin\n\n\nclass {name.title()}(Plugin):\n    name = {name!r}\n"
        (folder / f"{name}.py").write_text(code)
    assert serve(str(folder), "--url", URL, "--token-file", token) == Exit.USAGE
    assert "several plugins (one, two): choose one with --name" in capsys.readouterr().err
    assert serve(str(folder), "--name", "three", "--url", URL, "--token-file", token) != Exit.OK
    assert "broken" in capsys.readouterr().err


async def test_tries_again_with_growing_pauses() -> None:
    """Twice as long each time, up to a bound, and less by chance; it stops at once when it is to."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 6:
                server.stop()
            await asyncio.sleep(0)

        url = f"ws://127.0.0.1:{nobody.getsockname()[1]}/plugins/v1"
        server = Server(served(), url, TOKEN, backoff=1, backoff_max=20, sleep=sleep, jitter=lambda: 0.5)
        await asyncio.wait_for(server.run(), 10)
    assert pauses == [1, 2, 4, 8, 10, 10]
