"""Another project sees the types of the plugin API: of the wheel, installed, as a type checker finds it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRONG = """
from bots.framework import Context, Dialog, Plugin, command


class Shop(Plugin):
    @command("buy", help="Buy")
    async def buy(self, ctx: Context) -> None:
        ctx.say(5)

    async def ask(self, d: Dialog) -> None:
        reveal_type(await d.ask("How many?", parse=int))
        reveal_type(await d.choose("Which?", {"one": 1.5}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, and what it depends on."""
    folder = tmp_path_factory.mktemp("typed")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=60)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True, timeout=60)
    packages = next((folder / "env" / "lib").glob("python*/site-packages"))
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # Its dependencies are those of this environment. Whatever that has of Rialto comes after the wheel.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env" / "bin" / "python"


def checked(python: Path, folder: Path, target: str) -> str:
    """What mypy says of a project of somebody else's, by its own settings."""
    (folder / "mypy.ini").write_text("[mypy]\nstrict = True\nplugins = pydantic.mypy\n")
    command = [sys.executable, "-m", "mypy", "--python-executable", str(python), target]
    cache = ["--cache-dir", str(python.parent / "cache")]
    return subprocess.run(
        [*command, *cache], cwd=folder, capture_output=True, text=True, check=False, timeout=100
    ).stdout


def test_an_example_is_fine_and_an_error_is_found(python: Path, tmp_path: Path) -> None:
    plugin = ROOT / "examples" / "lunch_picker" / "lunch_picker"
    (tmp_path / "lunch_picker").mkdir()
    for file in plugin.glob("*.py"):
        (tmp_path / "lunch_picker" / file.name).write_text(file.read_text())
    assert "Success" in checked(python, tmp_path, "lunch_picker")
    (tmp_path / "wrong.py").write_text(WRONG)
    said = checked(python, tmp_path, "wrong.py")
    assert 'wrong.py:8: error: Argument 1 to "say" of "Context" has incompatible type "int"' in said
    assert 'wrong.py:11: note: Revealed type is "int"' in said
    assert 'wrong.py:12: note: Revealed type is "float"' in said
    assert "Found 1 error" in said
