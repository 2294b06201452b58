"""Where things lie in the data folder of a local stack."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appservice.local.errors import LocalError
from appservice.local.files import private_folder


class AlreadyRunning(LocalError):
    """Another process works on the same data folder."""

    code = "already_running"


@dataclass(frozen=True)
class Layout:
    """The files of one local stack. ``data`` is absolute."""

    data: Path

    @classmethod
    def at(cls, data: Path) -> Layout:
        """The layout of the folder ``data`` (made absolute; it need not exist)."""
        return cls(data.absolute())

    @property
    def config(self) -> Path:
        """Rialto's configuration."""
        return self.data / "config.yaml"

    @property
    def registration(self) -> Path:
        """What Synapse is told about Rialto."""
        return self.data / "registration.yaml"

    @property
    def synapse(self) -> Path:
        """Synapse's folder: configuration, keys, database, media."""
        return self.data / "synapse"

    @property
    def accounts(self) -> Path:
        """The local accounts and their passwords."""
        return self.data / "accounts.json"

    @property
    def admin_token(self) -> Path:
        """The administrator's access token, for Rialto (``homeserver.admin_token``)."""
        return self.data / "admin_token"

    @property
    def logs(self) -> Path:
        """What the processes write."""
        return self.data / "logs"

    @property
    def state(self) -> Path:
        """What the supervisor says about itself and its processes."""
        return self.data / "run" / "state.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor while it runs."""
        return self.data / "run" / "lock"

    def pid_file(self, name: str) -> Path:
        """The pid file of ``supervisor``, ``synapse`` or ``rialto``."""
        return self.data / "run" / f"{name}.pid"

    def chat(self, user_id: str) -> Path:
        """The terminal client's keys for a user."""
        return self.data / "chat" / user_id.removeprefix("@").replace("/", "_")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who works on this folder. Raises AlreadyRunning. The kernel frees the lock when we end."""
        private_folder(self.data)
        private_folder(self.lock.parent)
        handle = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(f"the stack in {self.data} runs already; `rialto down` stops it") from None
            yield
        finally:
            os.close(handle)
