"""``config.example.yaml`` is what the models say."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from appservice.config import Config, ConfigError, load_config
from appservice.config.example import example
from appservice.config.models import PLACEHOLDER
from appservice.config.schema import leaves

ROOT = Path(__file__).parents[2]


def filled(folder: Path, text: str) -> Path:
    for number in range(text.count(PLACEHOLDER)):
        text = re.sub(rf"(?<=: ){PLACEHOLDER}$", f"secret-number-{number}-abcdef", text, count=1, flags=re.MULTILINE)
    path = folder / "config.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_the_file_is_the_generated_text() -> None:
    assert (ROOT / "config.example.yaml").read_text() == example(), (
        "run: python -m appservice.config.example > config.example.yaml"
    )


def test_the_command_writes_it() -> None:
    command = [sys.executable, "-W", "error", "-m", "appservice.config.example"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == example()


def test_it_loads_once_the_secrets_are_filled_and_equals_the_defaults(tmp_path: Path) -> None:
    config = load_config(filled(tmp_path, example()), {})
    secrets = {
        "appservice": {
            "as_token": config.appservice.as_token.get_secret_value(),
            "hs_token": config.appservice.hs_token.get_secret_value(),
        },
        "encryption": {"pickle_key": config.encryption.pickle_key.get_secret_value()},
        "database": {"url": config.database.url},
    }
    assert config == Config.model_validate(secrets)


def test_as_it_is_only_the_placeholders_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(example())
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    assert [problem.key for problem in caught.value.problems] == [
        "appservice.as_token",
        "appservice.hs_token",
        "encryption.pickle_key",
    ]
    assert all("placeholder" in problem.reason for problem in caught.value.problems)


def test_every_key_is_there_with_a_comment_above_it() -> None:
    lines = example().splitlines()
    data = YAML(typ="safe").load(example())
    for path, key in leaves(Config):
        value = data
        for name in path:
            value = value[name]
        assert key.description, f"{'.'.join(path)} has no description"
    further: int | None = None
    """How far the items of a list are in whose first one has the comments, while a further one is read."""
    for before, line in pairwise(lines):
        if not re.match(r"\s*(- )?[a-z_]+:", line):
            continue
        depth, item = len(line) - len(line.lstrip()), line.lstrip().startswith("- ")
        if further is not None and (depth < further or (depth == further and not item)):
            further = None
        if further is None and item and not before.lstrip().startswith("#"):
            further = depth
        assert further is not None or before.lstrip().startswith("#"), f"no comment above {line!r}"
    assert lines.count("    # Of one payment at most, by currency; none named: no limit.") == 1
    assert max(map(len, lines)) <= 110
