"""The virtual environment that the local Synapse runs in: apart from ours, because it brings many dependencies."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from appservice.local.errors import LocalError

LOCK = "synapse.lock"
MODULE = "rialto_synapse.py"
STAMP = ".rialto-lock"
VARIABLE = "RIALTO_SYNAPSE_VENV"
Progress = Callable[[str], None]


def _quiet(_: str) -> None:
    """Progress that nobody wants to see."""


def environment_path(data: Path | None = None) -> Path:
    """Where Synapse's environment belongs: RIALTO_SYNAPSE_VENV, ``.venv-synapse`` of a checkout, or ``data``'s own."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).absolute()
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file() or data is None:
        return checkout / ".venv-synapse"
    return data.absolute() / "venv-synapse"


def lock_text() -> str:
    """The exact versions and hashes of Synapse and everything it needs, as pip reads them."""
    return resources.files("appservice.local").joinpath(LOCK).read_text(encoding="utf-8")


def synapse_version() -> str:
    """The version of Synapse that the lock names."""
    for line in lock_text().splitlines():
        if line.startswith("matrix-synapse=="):
            return line.removeprefix("matrix-synapse==").split()[0].rstrip("\\")
    raise LocalError(f"{LOCK} names no matrix-synapse")


def _digest() -> str:
    return hashlib.sha256(lock_text().encode()).hexdigest()


def _installed(python: Path) -> str | None:
    """The version of Synapse in the environment of ``python``, None when there is none."""
    code = "import importlib.metadata as m; print(m.version('matrix-synapse'))"
    try:
        answer = subprocess.run(
            [str(python), "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


async def ensure_environment(path: Path | None = None, progress: Progress = _quiet) -> Path:
    """Make or complete Synapse's environment; its Python. At once when the stamp of the lock file stands in it.

    Takes about half a minute when everything is to be fetched. Raises LocalError with the end of pip's output.
    """
    path = environment_path() if path is None else path
    python = path / "bin" / "python"
    stamp = path / STAMP
    digest = _digest()
    await _complete(path, python, stamp, digest, progress)
    install_module(path)
    return python


async def _complete(path: Path, python: Path, stamp: Path, digest: str, progress: Progress) -> None:
    if _stamped(python, stamp, digest):
        return
    if await asyncio.to_thread(_installed, python) != synapse_version():
        await _install(path, python, progress)
    stamp.write_text(digest + "\n", encoding="utf-8")  # noqa: ASYNC240 - a line


def _stamped(python: Path, stamp: Path, digest: str) -> bool:
    return python.exists() and stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == digest


def install_module(path: Path) -> None:
    """Put our module where Synapse's Python finds it: as it is now, whole, whoever else does so at the same time."""
    text = resources.files("appservice.local").joinpath(MODULE).read_bytes()
    for folder in path.glob("lib/python3*/site-packages"):
        file = folder / MODULE
        if file.is_file() and file.read_bytes() == text:
            continue
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{MODULE}.")
        with os.fdopen(handle, "wb") as scratch:
            scratch.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(file)


async def _install(path: Path, python: Path, progress: Progress) -> None:
    if not python.exists() or not (path / "bin" / "pip").exists():  # noqa: ASYNC240 - two stat calls
        progress("making Synapse's environment")
        shutil.rmtree(path, ignore_errors=True)
        await _run([sys.executable, "-I", "-m", "venv", str(path)], progress)
    lock = path / LOCK
    lock.write_text(lock_text(), encoding="utf-8")
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    pip = [str(python), "-I", "-m", "pip", "install", *options]
    await _run([*pip, "--require-hashes", "-r", str(lock)], PipProgress(progress))


class PipProgress:
    """What people want to know of pip's output: how far it is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._seen = 0

    def __call__(self, line: str) -> None:
        """Take a line of pip's output."""
        if line.startswith(("Collecting ", "Processing ")):
            self._seen += 1
            if self._seen % 10 == 0:
                self._progress(f"installing Synapse: {self._seen} packages fetched")
        elif line.startswith("Installing collected packages"):
            self._progress(f"installing Synapse: {self._seen} packages fetched, unpacking")


async def _run(command: list[str], progress: Progress) -> None:
    """Run a command, each line of its output to ``progress``. Raises LocalError when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines: list[str] = []
    try:
        assert process.stdout is not None
        async for raw in process.stdout:
            line = raw.decode("utf-8", errors="replace").rstrip()
            lines = [*lines[-20:], line]
            if line.strip():
                progress(line.strip())
        code = await process.wait()
    except BaseException:  # also when cancelled by Ctrl-C: pip must not go on alone
        if process.returncode is None:
            process.terminate()
            await process.wait()
        raise
    if code != 0:
        raise LocalError(f"{' '.join(command[:4])} … failed with exit code {code}:\n" + "\n".join(lines))


if __name__ == "__main__":  # `make test` has it ready before a test's clock runs
    asyncio.run(ensure_environment(progress=lambda step: print(step, flush=True)))  # noqa: T201
