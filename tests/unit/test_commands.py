"""The commands of a bot: matching, suggestions, help, and what clients learn of them."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appservice.errors import RialtoError
from bots.domain.money import Money
from bots.framework.arguments import ArgumentError, ParseEnv, Rest, Signature, UserID
from bots.framework.commands import (
    DESCRIPTION_TYPE,
    CommandConflict,
    CommandEntry,
    CommandTable,
    Matched,
    Page,
    Unknown,
    description_state_key,
)
from bots.framework.i18n import English

ENV = ParseEnv(datetime(2026, 1, 1, tzinfo=UTC), UTC, "example.org", "EUR")


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


async def nothing(ctx: object) -> None: ...
async def pay(ctx: object, to: UserID, amount: Annotated[Money, "How much"], memo: Rest = "") -> None: ...
async def order(ctx: object, size: Size = Size.SMALL, *, cups: int = 1, hot: bool = True) -> None: ...
async def cancel(ctx: object, ids: list[int]) -> None: ...


def entry(name: str, function: Any = nothing, owner: str = "Shop", **more: Any) -> CommandEntry:
    return CommandEntry(name, f"About <{name}>.", Signature.of(function), function, owner, **more)


def table(*more: CommandEntry) -> CommandTable:
    return CommandTable(
        [
            entry("order", order, aliases=("o", "bestellen")),
            entry("order list", aliases=("orders",)),
            entry("order list old"),
            entry("order cancel", cancel),
            entry("pay", pay, owner="Wallet"),
            entry("café"),
            entry("room admin lock"),
            entry("room admin unlock"),
            entry("secret", hidden=True),
            *more,
        ]
    )


@pytest.mark.parametrize(
    ("text", "name", "rest"),
    [
        ("order", "order", ""),
        ("ORDER large", "order", "large"),
        ("order  list", "order list", ""),
        ("order list old  x ", "order list old", "x "),
        ("order list new", "order list", "new"),
        ("o list", "order list", ""),
        ("orders", "order list", ""),
        ("orders old", "order list old", ""),
        ("Bestellen cancel 5", "order cancel", "5"),
        ("cafe", "café", ""),
        ("CAFÉ x", "café", "x"),
        ("pay @bob 5\nfor  tea", "pay", "@bob 5\nfor  tea"),
        ("room admin lock", "room admin lock", ""),
        ("secret", "secret", ""),
    ],
)
def test_the_longest_command_matches(text: str, name: str, rest: str) -> None:
    found = table().match(text)
    assert isinstance(found, Matched)
    assert (found.entry.name, found.rest) == (name, rest)


@pytest.mark.parametrize(
    ("text", "nearest", "group"),
    [
        ("ordr", "order", ""),
        ("odrer list", "order list", ""),
        ("py @bob 5", "pay", ""),
        ("bestelen", "bestellen", ""),
        ("room admin lok", "room admin lock", "room admin"),
        ("room admn lock", "room admin lock", "room"),
        ("secrt", None, ""),
        ("hello", None, ""),
        ("", None, ""),
        ("room", None, "room"),
        ("room admin", None, "room admin"),
    ],
)
def test_did_you_mean(text: str, nearest: str | None, group: str) -> None:
    found = table().match(text)
    assert isinstance(found, Unknown)
    assert (found.nearest, found.group) == (nearest, group)


def test_what_is_said_to_an_unknown_command() -> None:
    said = table().match("py @bob")
    assert isinstance(said, Unknown)
    assert said.say(English(), "!") == "I do not know “py”. Did you mean “!pay”? Type “!help” to see what I can do."
    group = table().match("room admin")
    assert isinstance(group, Unknown)
    assert group.say(English()) == "“room admin” needs one word more: room admin lock, room admin unlock."


def test_nothing_is_suggested_that_is_not_allowed() -> None:
    found = table().match("py", lambda entry: entry.owner != "Wallet")
    assert isinstance(found, Unknown)
    assert found.nearest is None


@pytest.mark.parametrize(
    "other",
    [
        entry("PAY", owner="Bank"),
        entry("transfer", owner="Bank", aliases=("pay",)),
        entry("Bezahlen", owner="Bank", aliases=("päy",)),
    ],
)
def test_two_plugins_with_one_command(other: CommandEntry) -> None:
    with pytest.raises(CommandConflict) as caught:
        table(other)
    assert "Wallet" in caught.value.human
    assert "Bank" in caught.value.human
    assert set(caught.value.fields["owners"]) == {"Wallet", "Bank"}


def test_one_plugin_with_one_command_twice_and_an_alias_that_is_a_group() -> None:
    with pytest.raises(CommandConflict, match="Shop has two commands"):
        CommandTable([entry("a"), entry("A")])
    with pytest.raises(CommandConflict):
        CommandTable([entry("room lock"), entry("x", aliases=("room",))])
    for name in ("", "  ", "a b c d e f g h i"):
        with pytest.raises(RialtoError, match="is no name for a command"):
            CommandTable([entry(name)])


def test_two_plugins_may_share_a_group() -> None:
    both = CommandTable([entry("game start", owner="Chess"), entry("game score", owner="Score")])
    assert isinstance(both.match("game score"), Matched)


def page(found: Page | Unknown) -> Page:
    assert isinstance(found, Page)
    return found


def test_the_overview() -> None:
    overview = page(table().help(prefix="!"))
    lines = overview.text.split("\n")
    assert lines[0] == "What I can do:"
    assert "• !pay <to> <amount> [memo…] — About <pay>." in lines
    assert "• !order [size] [--cups <cups>] [--hot] — About <order>." in lines
    assert "secret" not in overview.text
    assert "<li><code>!order cancel &lt;ids…&gt;</code> About &lt;order cancel&gt;.</li>" in overview.html
    assert lines[-1] == "Type “!help” and a command to learn more."
    assert "pay" not in page(table().help(allowed=lambda entry: entry.owner != "Wallet")).text
    assert page(CommandTable([]).help()).text == "There are no commands."


def test_the_page_of_a_command() -> None:
    order_page = page(table().help("Order"))
    assert order_page.text.split("\n") == [
        "order [size] [--cups <cups>] [--hot]",
        "About <order>.",
        "• size: one of small, large (may be left out)",
        "• cups: a whole number (may be left out)",
        "• hot: yes or no (may be left out)",
        "Also: o, bestellen",
        "• order cancel <ids…> — About <order cancel>.",
        "• order list — About <order list>.",
        "• order list old — About <order list old>.",
    ]
    assert "<p><code>order [size] [--cups &lt;cups&gt;] [--hot]</code><br>About &lt;order&gt;.</p>" in order_page.html
    assert "• amount: How much" in page(table().help("pay")).text
    assert page(table().help("room")).text.count("•") == 2
    unknown = table().help("pya")
    assert isinstance(unknown, Unknown)
    assert unknown.nearest == "pay"
    assert isinstance(table().help("pay", allowed=lambda entry: entry.owner != "Wallet"), Unknown)


def test_help_is_safe_html() -> None:
    bad = CommandEntry("<b>", "<script>alert(1)</script>", Signature.of(nothing), nothing, "Bad", aliases=("<i>",))
    for found in (CommandTable([bad]).help(), CommandTable([bad]).help("<b>")):
        assert "<script" not in page(found).html
        assert "<b>" not in page(found).html


def test_a_usage_error_says_what_and_how() -> None:
    found = table().match("order lst")
    assert isinstance(found, Matched)
    with pytest.raises(ArgumentError) as caught:
        found.parse(ENV)
    said = table().explain(found, caught.value, English(), prefix="!")
    assert said.text == (
        "size: “lst” is not one of small, large. Did you mean “!order list”?\n"
        "Usage: !order [size] [--cups <cups>] [--hot]"
    )
    assert "&lt;cups&gt;" in said.html


def test_structured_commands() -> None:
    content = {"org.matrix.msc4391.command": {"command": "order cancel", "arguments": {"ids": [1, 2]}}}
    found = table().match_structured(content)
    assert isinstance(found, Matched)
    assert found.parse(ENV) == {"ids": [1, 2]}
    for broken in ({}, {"m.bot.command": 1}, {"m.bot.command": {"command": 5}}):
        assert table().match_structured(broken) is None
    assert isinstance(table().match_structured({"m.bot.command": {"command": "order x y"}}), Unknown)
    assert isinstance(table().match_structured({"m.bot.command": {"command": "nope"}}), Unknown)
    bare = table().match_structured({"m.bot.command": {"command": "order", "arguments": "x"}})
    assert isinstance(bare, Matched)
    assert bare.parse(ENV)["cups"] == 1


def test_descriptions_for_clients() -> None:
    described = {content["command"]: content for content in table().descriptions()}
    assert "secret" not in described
    assert DESCRIPTION_TYPE == "org.matrix.msc4391.command_description"
    assert described["pay"] == {
        "command": "pay",
        "aliases": [],
        "description": {"m.text": [{"body": "About <pay>."}]},
        "parameters": [
            {
                "key": "to",
                "schema": {"schema_type": "primitive", "type": "user_id"},
                "description": {"m.text": [{"body": "a person such as @alice:example.org"}]},
            },
            {
                "key": "amount",
                "schema": {"schema_type": "primitive", "type": "string"},
                "description": {"m.text": [{"body": "How much"}]},
            },
            {
                "key": "memo",
                "schema": {"schema_type": "primitive", "type": "string"},
                "description": {"m.text": [{"body": "a text"}]},
                "optional": True,
            },
        ],
        "fi.mau.tail_parameter": "memo",
    }
    size, cups, hot = described["order"]["parameters"]
    assert size["schema"]["schema_type"] == "union"
    assert [variant["value"] for variant in size["schema"]["variants"]] == ["small", "large"]
    assert (cups["schema"]["type"], hot["schema"]["type"]) == ("integer", "boolean")
    ids = described["order cancel"]["parameters"][0]
    assert ids["schema"] == {"schema_type": "array", "items": {"schema_type": "primitive", "type": "integer"}}
    assert json.dumps(table().descriptions())


def test_the_state_key_of_a_description() -> None:
    digest = hashlib.sha256(b"ban@bot:example.org").digest()
    assert base64.b64decode(description_state_key("ban", "@bot:example.org")) == digest


@given(st.text())
def test_any_text_matches_or_is_unknown(text: str) -> None:
    found = table().match(text)
    assert isinstance(found, (Matched, Unknown))
    if isinstance(found, Unknown):
        assert found.say(English())
