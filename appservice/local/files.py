"""Files that hold secrets, and ports of the loopback interface."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRIVATE = 0o600
PRIVATE_FOLDER = 0o700


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` with mode 0600: the whole file or nothing, also when the machine stops half-way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp creates with mode 0600
    scratch = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_private_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with mode 0600."""
    write_private(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any | None:
    """The JSON value in ``path``; None when there is no file or it is not JSON (half-made by an older run)."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None


def private_folder(path: Path) -> Path:
    """Make ``path`` a folder that only its owner enters (mode 0700), and return it."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(PRIVATE_FOLDER)
    return path


def is_private(path: Path) -> bool:
    """Whether group and others have no right on ``path``."""
    return not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on ``host:port`` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A port that the kernel says is free now; somebody else can still take it before it is bound."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port


def choose_port(preferred: int, taken: set[int], is_free: Callable[[int], bool] = port_is_free) -> int:
    """``preferred`` when it is free and not in ``taken``, else any free port. The choice is added to ``taken``."""
    port = preferred
    while port in taken or not is_free(port):
        port = free_port()
    taken.add(port)
    return port
