"""Secrets in files of their own: ``as_token: {file: as_token.txt}`` or ``RIALTO__APPSERVICE__AS_TOKEN_FILE``."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

LARGEST: Final = 64 * 1024
MOUNTED: Final = Path("/run/secrets")  # container engines mount these for every user of the container


def read_secret(path: Path) -> tuple[str | None, str]:
    """The secret in the file without its trailing line end, and ""; or None and what is wrong with the file."""
    try:
        if not path.is_file():
            return None, "is not a file" if path.exists() else "does not exist"
        data = path.read_bytes() if path.stat().st_size <= LARGEST else None
    except (OSError, ValueError) as error:
        return None, f"cannot be read: {getattr(error, 'strerror', None) or 'bad path'}"
    if data is None:
        return None, f"is larger than {LARGEST} bytes"
    try:
        text = data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        return None, "is not UTF-8"
    return (text, "") if text else (None, "is empty")


def readable_by_all(path: Path) -> bool:
    """Whether every user of this machine may read the file."""
    try:
        return MOUNTED not in path.parents and bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
