"""Environments of peers that are no dependency of ours: made outside the repository, on request, and kept.

They lie in ``$XDG_CACHE_HOME/rialto-benchmarks`` (``~/.cache/rialto-benchmarks``); remove it to have them made anew.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

MAUBOT = "0.6.0"
MATRIX_BOT_SDK = "0.7.1"
AIOGRAM = "3.22.0"


def cache() -> Path:
    """The folder of all environments."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rialto-benchmarks"


def maubot_python() -> Path:
    """The Python of a virtual environment with maubot. Raises RuntimeError with the end of pip's output."""
    return _python("maubot", MAUBOT)


def aiogram_python() -> Path:
    """The Python of a virtual environment with aiogram. Raises RuntimeError with the end of pip's output."""
    return _python("aiogram", AIOGRAM)


def _python(package: str, version: str) -> Path:
    def make(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, f"{package}=={version}"])

    return _kept(f"{package}-{version}", make) / "bin" / "python"


def matrix_bot_sdk() -> Path:
    """A folder with matrix-bot-sdk in its ``node_modules``. Raises RuntimeError, also when there is no npm."""

    def make(folder: Path) -> None:
        if shutil.which("npm") is None or shutil.which("node") is None:
            raise RuntimeError("matrix-bot-sdk needs node and npm (Debian: apt-get install nodejs npm)")
        folder.mkdir()
        (folder / "package.json").write_text(json.dumps({"private": True}))
        # Its one install script fetches the encryption's native library, which echo.js does without.
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        _run(["npm", "install", *options, f"matrix-bot-sdk@{MATRIX_BOT_SDK}"], folder)

    return _kept(f"matrix-bot-sdk-{MATRIX_BOT_SDK}", make)


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name, made when it is not there; a half-made one is made anew."""
    folder = cache() / name
    done = cache() / f"{name}.done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        make(folder)
        done.touch()
    return folder


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        end = "\n".join(done.stdout.splitlines()[-15:])
        raise RuntimeError(f"{' '.join(command[:4])} … failed with exit code {done.returncode}:\n{end}")
