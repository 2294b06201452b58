"""Choices: what an answer means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bots.framework.choices import (
    Ambiguous,
    ChoicePrompt,
    InvalidChoices,
    Match,
    NoMatch,
    Option,
    Page,
    Picked,
    Stale,
    Ticked,
    TooFew,
    TooMany,
    confirm,
    match_poll,
    match_reaction,
    match_structured,
    match_text,
    options_of,
)
from bots.framework.choices.text import AND, NUMBER, PREVIOUS
from bots.framework.i18n import English
from bots.framework.i18n.marks import WORDS

EN = English()
DRINKS = ["Espresso", "Flat white", "Cold brew", "Café crème", "Tea"]
LABELS = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=20), st.sampled_from(["1", "2", "#2", "2.", "1-2", "no 2", "all", "none", "a, b"])
    ),
    min_size=1,
    max_size=14,
)


class German:
    """Some German words."""

    language = "de"
    TEXTS: Mapping[str, str] = {
        WORDS["more"]: "words: mehr, weiter",
        PREVIOUS: "words: zurück",
        WORDS["all"]: "words: alle, alles",
        WORDS["none"]: "words: keine, nichts",
        WORDS["done"]: "words: fertig",
        AND: "words: und",
        NUMBER: "words: Nummer, Nr.",
        WORDS["yes"]: "words: ja, j, no",  # "no" stands for a language in which it means yes
        WORDS["no"]: "words: nein",
        "Yes": "Ja",
        "No": "Nein",
    }

    def t(self, text: str, /, **values: Any) -> str:
        return self.TEXTS.get(text, text).format(**values) if values else self.TEXTS.get(text, text)

    def n(self, one: str, many: str, count: int, /, **values: Any) -> str:
        return (one if count == 1 else many).format(count=count, **values)


DE = German()


def prompt(options: Any = DRINKS, **more: Any) -> ChoicePrompt:
    return ChoicePrompt("What would you like?", options_of(options), **more)


def chosen(match: Match | None, of: ChoicePrompt) -> list[str]:
    """The labels picked."""
    assert isinstance(match, Picked), match
    return [of.by_value[value].label for value in match.values]


@pytest.mark.parametrize(
    "text",
    [
        "2",
        " 2 ",
        "2.",
        "2)",
        "#2",
        "# 2",
        "no 2",
        "No. 2",
        "№ 2",
        "number 2",
        "option 2",
        "２",
        "٢",
        "२",
        "2️⃣",
        "②",
        "02",
        "Flat white",
        "flat WHITE",
        "flat  white",
        "ＦＬＡＴ white",
        "flat white!",
        "“Flat white”",
        "fla",
        "f",
        "flat\nwhite",
    ],
)
def test_ways_to_say_the_second(text: str) -> None:
    assert chosen(match_text(prompt(), text, EN), prompt()) == ["Flat white"]


@pytest.mark.parametrize("text", ["Café crème", "cafe creme", "CAFE\u0301 CRE\u0300ME", "cafe", "cafè"])
def test_accents_need_not_be_typed(text: str) -> None:
    assert chosen(match_text(prompt(), text, EN), prompt()) == ["Café crème"]


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("☕ Coffee", "coffee"),
        ("STRASSE", "straße"),
        ("İstanbul", "istanbul"),
        ("Łódź", "lodz"),
        ("قَهْوَة", "قهوة"),
        ("１２ Uhr", "12 uhr"),
        ("C++", "c++"),
        ("Nörgel & Söhne", "norgel & sohne"),
    ],
)
def test_labels_as_people_type_them(label: str, text: str) -> None:
    offered = prompt([label, "C#", "Other"])
    assert chosen(match_text(offered, text, EN), offered) == [offered.options[0].label]


def test_marks_that_are_letters_count() -> None:
    offered = prompt(["कु", "कि"])
    assert chosen(match_text(offered, "कु", EN), offered) == ["कु"]


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("espreso", ["Espresso"]),
        ("I would like an espresso please", ["Espresso"]),
        ("white", ["Flat white"]),
        ("6", []),
        ("0", []),
        ("-1", []),
        ("1.5", []),
        ("99999999999999999999", []),
        ("", []),
        ("?", []),
        ("...", []),
        ("1, 2", []),
        ("all", []),
        ("more", []),
        ("x" * 100_000, []),
        ("9" * 5_000, []),
    ],
)
def test_what_is_near_is_offered_and_not_taken(text: str, nearest: list[str]) -> None:
    match = match_text(prompt(), text, EN)
    assert isinstance(match, NoMatch)
    assert [option.label for option in match.nearest] == nearest


def test_a_beginning_of_several() -> None:
    offered = prompt(["Flat white", "Flat black", "flat white"])
    match = match_text(offered, "flat", EN)
    assert isinstance(match, Ambiguous) and len(match.candidates) == 3
    match = match_text(offered, "Flat white", EN)
    assert isinstance(match, Ambiguous) and [o.value for o in match.candidates] == ["flat-white", "flat-white-2"]
    assert chosen(match_text(offered, "3", EN), offered) == ["flat white"]


def test_numbers_as_labels() -> None:
    people = prompt(["2", "3", "4"])
    assert chosen(match_text(people, "1", EN), people) == ["2"]
    assert chosen(match_text(people, "4", EN), people) == ["4"]
    match = match_text(people, "2", EN)
    assert isinstance(match, Ambiguous) and [option.label for option in match.candidates] == ["2", "3"]
    assert chosen(match_text(people, "#2", EN), people) == ["3"]
    assert chosen(match_text(people, "2.", EN), people) == ["3"]
    assert chosen(match_text(people, '"2"', EN), people) == ["2"]


def test_a_label_longer_than_shown_can_be_typed_in_full() -> None:
    offered = prompt(["x" * 150, "y"])
    assert chosen(match_text(offered, "X" * 150, EN), offered) == ["x" * 99 + "…"]


def test_pages() -> None:
    many = prompt([*(f"Dish {number}" for number in range(1, 25)), "More"])
    second, third = replace(many, page=2), replace(many, page=3)
    assert match_text(many, "more", EN) == match_text(many, "Next.", EN) == Page(2)
    assert match_text(second, "more", EN) == Page(3)
    assert match_text(third, "more", EN) == Page(3)
    assert match_text(second, "BACK", EN) == Page(1)
    assert isinstance(match_text(many, "back", EN), NoMatch)
    assert chosen(match_text(many, "25", EN), many) == ["More"]
    assert chosen(match_text(many, "“more”", EN), many) == ["More"]
    assert chosen(match_text(third, "3", EN), many) == ["Dish 3"]
    assert match_text(many, "weiter", DE) == match_text(many, "more", DE) == Page(2)
    assert match_text(second, "Zurück", DE) == Page(1)


def test_more_is_a_label_where_there_are_no_pages() -> None:
    offered = prompt(["More", "Less"])
    assert chosen(match_text(offered, "more", EN), offered) == ["More"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1", [1]),
        ("1, 3 and 4", [1, 3, 4]),
        ("1,3,4", [1, 3, 4]),
        ("4 3 1 1", [1, 3, 4]),
        ("1. 3.", [1, 3]),
        ("1-3", [1, 2, 3]),
        ("1 – 3, 5", [1, 2, 3, 5]),
        ("3..1", [1, 2, 3]),
        ("1…3", [1, 2, 3]),
        ("１、３", [1, 3]),
        ("١، ٣", [1, 3]),
        ("#1 & #2", [1, 2]),
        ("1\n2", [1, 2]),
        ("tea and espresso", [1, 5]),
        ("Tea, cafe creme, and 1", [1, 4, 5]),
        ("all", [1, 2, 3, 4, 5]),
        ("Everything!", [1, 2, 3, 4, 5]),
        ("none", []),
    ],
)
def test_several(text: str, numbers: list[int]) -> None:
    offered = prompt(multiple=True, minimum=0)
    assert chosen(match_text(offered, text, EN), offered) == [DRINKS[number - 1] for number in numbers]


@pytest.mark.parametrize(
    "text", ["1, 9", "1-9", "0-2", "tea, mate", ",", "and", "1-", "1 x 2", "1-999999", ", ".join("9" * 500)]
)
def test_several_of_which_one_is_none(text: str) -> None:
    assert isinstance(match_text(prompt(multiple=True), text, EN), NoMatch)


def test_several_in_german() -> None:
    offered = prompt(multiple=True, minimum=0)
    assert chosen(match_text(offered, "1 und 2", DE), offered) == DRINKS[:2]
    assert chosen(match_text(offered, "Nr. 2 und Nummer 3", DE), offered) == DRINKS[1:3]
    assert chosen(match_text(offered, "Alle", DE), offered) == DRINKS
    assert chosen(match_text(offered, "nichts", DE), offered) == []
    assert chosen(match_text(replace(offered, chosen=("tea",)), "fertig", DE), offered) == ["Tea"]


def test_labels_with_commas_and_conjunctions() -> None:
    offered = prompt(["Salt and pepper", "Bread, butter & jam", "Salt", "Android"], multiple=True)
    assert chosen(match_text(offered, "salt and pepper", EN), offered) == ["Salt and pepper"]
    both = match_text(offered, "android, salt and pepper and bread, butter & jam", EN)
    assert chosen(both, offered) == ["Salt and pepper", "Bread, butter & jam", "Android"]
    assert chosen(match_text(offered, "salt and android", EN), offered) == ["Salt", "Android"]


def test_how_many() -> None:
    two = prompt(multiple=True, minimum=2, maximum=3)
    assert match_text(two, "1", EN) == TooFew(1, 2)
    assert match_text(two, "none", EN) == TooFew(0, 2)
    assert match_text(two, "1 1 1", EN) == TooFew(1, 2)
    assert match_text(two, "1-4", EN) == TooMany(4, 3)
    assert match_text(two, "all", EN) == TooMany(5, 3)
    assert chosen(match_text(two, "1-3", EN), two) == DRINKS[:3]
    assert match_text(prompt(minimum=0), "none", EN) == Picked(())


def test_labels_win_over_words() -> None:
    offered = prompt(["Milk", "None", "All"], multiple=True)
    assert chosen(match_text(offered, "none", EN), offered) == ["None"]
    assert chosen(match_text(offered, "all", EN), offered) == ["All"]


def test_done_picks_what_is_ticked() -> None:
    ticked = prompt(multiple=True, chosen=("tea", "espresso"))
    assert chosen(match_text(ticked, "done", EN), ticked) == ["Espresso", "Tea"]
    assert chosen(match_text(ticked, "2", EN), ticked) == ["Flat white"]
    assert match_text(prompt(multiple=True), "done", EN) == TooFew(0, 1)


def test_reactions() -> None:
    assert chosen(match_reaction(prompt(), "2️⃣"), prompt()) == ["Flat white"]
    assert chosen(match_reaction(prompt(), "2\u20e3"), prompt()) == ["Flat white"]
    assert chosen(match_reaction(prompt(), "tea"), prompt()) == ["Tea"]
    assert chosen(match_reaction(prompt(), "3"), prompt()) == ["Cold brew"]
    for key in ("9️⃣", "0️⃣", "🔟", "🎉", "", "x" * 1_000, "te", "2️⃣2️⃣", "✅"):
        assert isinstance(match_reaction(prompt(), key), NoMatch), key
    assert isinstance(match_reaction(prompt(), "2️⃣", removed=True), NoMatch)
    own = prompt([Option("a", "A", key="👍"), Option("b", "B", key="❤️")])
    assert match_reaction(own, "👍🏿") == Picked(("a",))
    assert match_reaction(own, "❤") == match_reaction(own, "2️⃣") == Picked(("b",))
    ten = prompt([f"o{number}" for number in range(12)])
    assert match_reaction(ten, "🔟") == Picked(("o9",))
    assert isinstance(match_reaction(prompt(["2", "3"]), "2"), Ambiguous)


def test_ticking() -> None:
    offered = prompt(multiple=True, maximum=2)
    assert match_reaction(offered, "2️⃣") == Ticked(("flat-white",))
    ticked = replace(offered, chosen=("flat-white",))
    assert match_reaction(ticked, "1️⃣") == Ticked(("espresso", "flat-white"))
    assert match_reaction(ticked, "2️⃣") == Ticked(("flat-white",))
    assert match_reaction(ticked, "2️⃣", removed=True) == Ticked(())
    assert match_reaction(ticked, "✅") == Picked(("flat-white",))
    assert match_reaction(ticked, "✅", removed=True) == Ticked(("flat-white",))
    assert match_reaction(offered, "✅") == TooFew(0, 1)
    full = replace(offered, chosen=("tea", "espresso", "cold-brew"))
    assert match_reaction(full, "✅") == TooMany(3, 2)
    assert isinstance(match_reaction(offered, "🎉"), NoMatch)


def test_polls() -> None:
    assert match_poll(prompt(), ["tea"]) == Picked(("tea",))
    assert match_poll(prompt(), ["tea", "espresso"]) == Picked(("tea",))
    assert match_poll(prompt(), ["mate"]) == NoMatch()
    assert match_poll(prompt(), []) == TooFew(0, 1)
    several = prompt(multiple=True, maximum=2, minimum=0)
    assert match_poll(several, ["tea", "tea"]) == Picked(("tea",))
    assert match_poll(several, ["tea", "mate"]) == NoMatch()
    assert match_poll(several, []) == Picked(())


def answer(**content: Any) -> dict[str, Any]:
    return {"msgtype": "m.text", "body": "Tea", "app.rialto.choice": content}


@pytest.mark.parametrize(
    ("content", "means"),
    [
        ({"body": "Tea"}, None),
        (answer(prompt="p1", values=["tea"]), Picked(("tea",))),
        (answer(prompt="p0", values=["tea"]), Stale("p0")),
        (answer(prompt="p1", values=["tea", "espresso"]), TooMany(2, 1)),
        (answer(prompt="p1", values=[]), TooFew(0, 1)),
        (answer(prompt="p1", values=["mate"]), NoMatch()),
        (answer(prompt="p1", values="tea"), NoMatch()),
        (answer(prompt="p1", values=[1]), NoMatch()),
        (answer(prompt="p1", values=[["tea"]]), NoMatch()),
        (answer(prompt="p1", values=["tea"] * 1_001), NoMatch()),
        (answer(prompt="p1", page=1), Page(1)),
        (answer(prompt="p1", page=2), NoMatch()),
        (answer(prompt="p1", page=True), NoMatch()),
        (answer(prompt="p1"), NoMatch()),
        (answer(prompt=1, values=["tea"]), NoMatch()),
        (answer(values=["tea"]), NoMatch()),
        ({"app.rialto.choice": "tea"}, NoMatch()),
        ({"app.rialto.choice": None}, NoMatch()),
    ],
)
def test_structured_answers(content: dict[str, Any], means: Match | None) -> None:
    assert match_structured(prompt(id="p1"), content) == means


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("Y", "yes"),
        ("ok!", "yes"),
        ("👍", "yes"),
        ("no", "no"),
        ("N", "no"),
        ("Nope.", "no"),
        ("2", "no"),
    ],
)
def test_confirming(text: str, value: str) -> None:
    assert match_text(confirm("Sure?", EN), text, EN) == Picked((value,))


@pytest.mark.parametrize("text", ["yes but only if it is free", "not sure", "maybe", "yes no", "yes, no", "noyes"])
def test_what_is_no_confirmation(text: str) -> None:
    assert isinstance(match_text(confirm("Sure?", EN), text, EN), NoMatch)


def test_confirming_in_another_language() -> None:
    asked = confirm("Sicher?", DE)
    assert [option.label for option in asked.options] == ["Ja", "Nein"]
    for text in ("ja", "J", "yes", "no"):  # the language's own meaning of a word wins over the English one
        assert match_text(asked, text, DE) == Picked(("yes",)), text
    for text in ("nein", "nope"):
        assert match_text(asked, text, DE) == Picked(("no",)), text
    assert match_reaction(asked, "✅") == match_reaction(asked, "👍") == Picked(("yes",))
    assert match_reaction(asked, "❌") == match_reaction(asked, "👎🏻") == Picked(("no",))


def offered_of(labels: list[str], **more: Any) -> ChoicePrompt:
    try:
        return prompt(labels, **more)
    except InvalidChoices:
        assume(False)
        raise


@given(LABELS, st.booleans())
def test_every_option_can_be_chosen(labels: list[str], multiple: bool) -> None:
    offered = offered_of(labels, multiple=multiple)
    for number, option in enumerate(offered.options, 1):
        for text in (f"#{number}", str(number), option.label):
            match = match_text(offered, text, EN)
            if isinstance(match, Ambiguous):
                assert option in match.candidates and len(match.candidates) > 1
            elif text == option.label and offered.pages > 1 and isinstance(match, Page):
                assert text.strip(" .!?…").casefold() in {"more", "next"}
            else:
                assert match == Picked((option.value,)), text
        # Nothing but a label that says the same stands in the way of a number.
        if not any(other.label.strip().startswith(("#", "＃")) for other in offered.options):
            assert match_text(offered, f"#{number}", EN) == Picked((option.value,))


@given(LABELS, st.text(max_size=60), st.booleans(), st.integers(0, 2))
def test_nothing_else_is_ever_chosen(labels: list[str], text: str, multiple: bool, minimum: int) -> None:
    offered = offered_of(labels, multiple=multiple, minimum=minimum)
    for match in (match_text(offered, text, EN), match_reaction(offered, text), match_poll(offered, [text])):
        if isinstance(match, Picked | Ticked):
            assert match.values == offered.in_order(match.values)
        if isinstance(match, Picked):
            assert offered.minimum <= len(match.values) <= offered.most
        if isinstance(match, Page):
            assert 1 <= match.number <= offered.pages


@given(st.sets(st.integers(1, 14), min_size=1), st.sampled_from([", ", " and ", " ", ",", "; "]))
def test_any_set_of_numbers(numbers: set[int], separator: str) -> None:
    offered = prompt([f"Dish {chr(96 + number)}" for number in range(1, 15)], multiple=True)
    text = separator.join(map(str, numbers))
    assert match_text(offered, text, EN) == Picked(offered.in_order(offered.options[n - 1].value for n in numbers))
