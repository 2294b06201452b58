"""What ``rialto doctor`` says about how long a homeserver keeps deleted messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appservice.commands.checks import Verdict
from appservice.commands.deletion import check_deletion, problems, seconds
from appservice.local.synapse import SynapseSettings, write_synapse


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0s", 0), ("5m", 300), ("7d", 604_800), (1_000, 1), ("1000", 1), (0, 0), ("1w", 604_800), ("1y", 31_536_000)],
)
def test_durations_of_synapse(value: object, expected: float) -> None:
    assert seconds(value) == expected


@pytest.mark.parametrize("value", ["soon", "", "-1s", None, True, [], "1.5h", "5 minutes"])
def test_no_durations(value: object) -> None:
    assert seconds(value) is None


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({"redaction_retention_period": "0s", "enable_search": False}, 0),
        ({"redaction_retention_period": "5m", "enable_search": False}, 0),
        ({"redaction_retention_period": "6m", "enable_search": False}, 1),
        ({"redaction_retention_period": None, "enable_search": False}, 1),
        ({"redaction_retention_period": "0s"}, 1),
        ({}, 2),
    ],
)
def test_problems(config: dict[str, Any], count: int) -> None:
    assert len(problems(config)) == count


def test_the_local_stack_is_fine(tmp_path: Path) -> None:
    write_synapse(SynapseSettings(folder=tmp_path / "synapse", port=1))
    assert [check.verdict for check in check_deletion(tmp_path / "config.yaml")] == [Verdict.OK]


def test_one_that_was_changed(tmp_path: Path) -> None:
    write_synapse(SynapseSettings(folder=tmp_path / "synapse", port=1, extra={"redaction_retention_period": "1d"}))
    (check,) = check_deletion(tmp_path / "config.yaml")
    assert check.verdict is Verdict.WARN and "1d" in check.text and "0s" in check.advice


def test_another_homeserver_is_not_seen(tmp_path: Path) -> None:
    assert check_deletion(tmp_path / "config.yaml") == []


@pytest.mark.parametrize("text", ["- a list", "{broken", "\x00"])
def test_one_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "synapse").mkdir()
    (tmp_path / "synapse" / "homeserver.yaml").write_text(text)
    assert [check.verdict for check in check_deletion(tmp_path / "config.yaml")] == [Verdict.WARN]
