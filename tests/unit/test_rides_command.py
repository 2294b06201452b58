"""``rialto rides``: files that are checked, and ways that are quoted."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from appservice.cli import main
from appservice.config import Config
from bots.framework.settings import read_settings
from bots.rides.settings import Settings

TEXT = files("bots.rides.tariffs").joinpath("default.yaml").read_text(encoding="utf-8")
WAY = ["52.52,13.41", "52.50,13.45"]


def test_a_file_that_is_right_shows_what_it_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text(TEXT, encoding="utf-8")
    assert main(["rides", "check", str(tmp_path / "mine.yaml")]) == 0
    shown = capsys.readouterr().out
    assert "City: 3 classes, 2 zones, in EUR" in shown
    # 3.20 + 5 × 1.35 + 15 × 0.25 + 0.80
    assert "14.50 EUR" in shown
    assert main(["rides", "check", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["right"]
    assert {each["price"] for each in found["prices"] if each["class"] == "courier"} == {"8.00 EUR"}


def test_a_file_that_is_wrong_is_told_line_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(TEXT.replace("base: 3.20", "base: -3.20").replace("cap_percent: 180", "cap_percent: 90"), "utf-8")
    assert main(["rides", "check", str(file)]) == 2
    told = capsys.readouterr().err
    line = next(number for number, text in enumerate(TEXT.splitlines(), 1) if "base: 3.20" in text)
    assert f"{file}:{line}: classes[0].rates[0].base needs an amount that is not below nought, got -3.2" in told
    assert "surge.cap_percent needs 100 or more, got 90" in told
    assert main(["rides", "check", str(file), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["problems"][0]["line"] == line
    assert not found["right"]
    assert main(["rides", "check", str(tmp_path / "none.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_way_is_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    told = ["--km", "5", "--minutes", "15", "--at", "2026-03-02T12:00"]
    assert main(["rides", "quote", *WAY, *told]) == 0
    shown = capsys.readouterr().out
    assert "Standard: 14.50 EUR, of which 10.96 EUR for who drives" in shown
    assert "Way (5.0 km)" in shown
    assert main(["rides", "quote", *WAY, *told, "--surge", "150", "--json"]) == 0
    standard, xl, courier = json.loads(capsys.readouterr().out)
    assert (standard["total"], standard["surge"]) == ("21.35 EUR", 150)
    assert (xl["surge"], courier["surge"]) == (150, 100)
    assert main(["rides", "quote", *WAY, "--at", "2026-03-02T23:30"]) == 0
    assert "Mon 23:30" in capsys.readouterr().out


def test_ways_that_are_not_driven_have_no_price(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rides", "quote", "13.41,52.52", WAY[1]]) in {1, 2}  # swapped
    capsys.readouterr()
    assert main(["rides", "quote", WAY[0], "48.1,11.5"]) == 1
    assert "outside of where we drive" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["rides", "quote", "91,0", WAY[1]])
    assert "needs latitude,longitude" in capsys.readouterr().err
    assert main(["rides", "quote", *WAY, "--at", "noon"]) == 2


# In the settings


def config(tmp_path: Path, settings: str) -> Config:
    """A configuration whose last bot has these settings."""
    from appservice.config import load_config

    file = tmp_path / "config.yaml"
    file.write_text(
        "homeserver: {url: 'http://127.0.0.1:8008', server_name: example.org}\n"
        "appservice: {as_token: 0123456789abcdef0123, hs_token: abcdef0123456789abcd}\n"
        "encryption: {pickle_key: 0123456789abcdef0123456789abcdef}\n"
        "database: {url: 'sqlite:///x.db'}\n"
        "bots:\n  - plugin: rides\n    localpart: rides\n    display_name: Rides\n    settings:\n" + settings,
        encoding="utf-8",
    )
    return load_config(file, {})


def test_a_tariff_in_the_settings_is_told_of_with_its_line(tmp_path: Path) -> None:
    held = (
        "      tariff:\n        name: Mine\n        currency: EUR\n        time_zone: Europe/Berlin\n"
        "        classes:\n          - name: standard\n            seats: 4\n            rates:\n"
        "              - {hours: mon-fri 00:00-24:00, base: 1, per_km: 1.234, per_minute: 1}\n"
    )
    found = config(tmp_path, held)
    path = ("bots", "0", "settings")
    settings, problems = read_settings(Settings, found.bots[0].settings, found, path)
    assert settings is None
    told = [str(each).removeprefix(f"{tmp_path}/") for each in problems]
    assert told == [
        "config.yaml:18: bots[0].settings.tariff.classes[0].rates[0].per_km EUR has at most 2 decimals. Got 1.234",
        "config.yaml:17: bots[0].settings.tariff.classes[0].rates leave hours without a price: Sat 00:00 to Sun 24:00; "
        "hours have to cover the week exactly once",
    ]


def test_a_tariff_in_a_file_lies_beside_the_configuration(tmp_path: Path) -> None:
    path = ("bots", "0", "settings")
    (tmp_path / "mine.yaml").write_text(TEXT.replace("name: City\n", "name: Mine\n", 1), encoding="utf-8")
    found = config(tmp_path, "      tariff_file: mine.yaml\n")
    settings, problems = read_settings(Settings, found.bots[0].settings, found, path)
    assert not problems
    assert settings is not None
    assert settings.made().name == "Mine"
    (tmp_path / "mine.yaml").write_text("name: Mine\ncurency: EUR\n", encoding="utf-8")
    _, problems = read_settings(Settings, found.bots[0].settings, found, path)
    assert any(f"names {tmp_path}/mine.yaml:2: curency is not known, did you mean currency?" in str(each)
               for each in problems)  # fmt: skip
    both = config(tmp_path, "      tariff_file: mine.yaml\n      tariff: {}\n")
    _, problems = read_settings(Settings, both.bots[0].settings, both, path)
    assert any("needs tariff_file or tariff, not both" in str(each) for each in problems)
