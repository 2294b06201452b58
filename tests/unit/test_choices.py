"""Choices: how they are shown."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.framework.choices import (
    Ambiguous,
    ChoicePrompt,
    InvalidChoices,
    NoMatch,
    Option,
    Stale,
    TooFew,
    TooMany,
    as_poll,
    confirm,
    explain,
    options_of,
    render,
    render_chosen,
)
from bots.framework.i18n import English

EN = English()
DRINKS = ["Espresso", "Flat white", "Cold brew"]


class Tags(HTMLParser):
    """The tags and the text of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def prompt(options: Any = DRINKS, **more: Any) -> ChoicePrompt:
    return ChoicePrompt("What would you like?", options_of(options), **more)


def test_one_message_for_every_client() -> None:
    rendered = render(prompt(id="p1"), EN)
    assert rendered.body == (
        "What would you like?\n\n1. Espresso\n2. Flat white\n3. Cold brew\n\nAnswer with a number or a name."
    )
    assert rendered.html == (
        "<p>What would you like?</p><ol><li>Espresso</li><li>Flat white</li><li>Cold brew</li></ol>"
        "<p>Answer with a number or a name.</p>"
    )
    assert rendered.reactions == ("1️⃣", "2️⃣", "3️⃣")
    assert rendered.content == {
        "app.rialto.choices": {
            "version": 1,
            "prompt": "p1",
            "multiple": False,
            "minimum": 1,
            "maximum": 1,
            "page": 1,
            "pages": 1,
            "total": 3,
            "options": [
                {"number": 1, "value": "espresso", "label": "Espresso", "key": "1️⃣"},
                {"number": 2, "value": "flat-white", "label": "Flat white", "key": "2️⃣"},
                {"number": 3, "value": "cold-brew", "label": "Cold brew", "key": "3️⃣"},
            ],
            "chosen": [],
        }
    }


def test_descriptions_stand_with_their_labels() -> None:
    rendered = render(prompt([Option("a", "Small", "0.2 l"), Option("b", "Large")]), EN)
    assert "1. Small – 0.2 l\n2. Large\n" in rendered.body
    assert "<li>Small<br><em>0.2 l</em></li><li>Large</li>" in rendered.html
    assert rendered.content["app.rialto.choices"]["options"][0]["description"] == "0.2 l"


def test_later_pages_keep_their_numbers() -> None:
    many = prompt([f"Dish {number}" for number in range(1, 26)])
    first, second, third = (render(replace(many, page=page), EN) for page in (1, 2, 3))
    assert "10. Dish 10" in first.body and "11." not in first.body
    assert "11. Dish 11" in second.body and '<ol start="11">' in second.html
    assert "25. Dish 25" in third.body and '<ol start="21">' in third.html
    assert "“more”" in first.body and "“back”" not in first.body
    assert "“more”" in second.body and "“back”" in second.body
    assert "“more”" not in third.body and "“back”" in third.body
    assert first.reactions == ()


@given(st.integers(1, 120), st.integers(1, 20))
def test_paging_shows_each_option_once(count: int, size: int) -> None:
    many = prompt([f"Dish {number}" for number in range(count)], page_size=size)
    shown = [pair for page in range(1, many.pages + 1) for pair in replace(many, page=page).shown]
    assert shown == list(enumerate(many.options, 1))
    bodies = [render(replace(many, page=page), EN).body.splitlines() for page in range(1, many.pages + 1)]
    for number, option in enumerate(many.options, 1):
        assert sum(f"{number}. {option.label}" in lines for lines in bodies) == 1


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ({"multiple": True}, "or with “all”"),
        ({"multiple": True, "minimum": 2, "maximum": 2}, "Choose 2 options."),
        ({"multiple": True, "minimum": 1, "maximum": 2}, "Choose 1 to 2 options."),
        ({"multiple": True, "minimum": 0, "maximum": 1}, "Choose up to 1 option."),
        ({"multiple": True, "minimum": 0}, "Write “none” for none of them."),
        ({"minimum": 0}, "Write “none” for none of them."),
        ({"multiple": True, "chosen": ("espresso",)}, "Write “done” when you are done."),
    ],
)
def test_how_many_is_said(more: dict[str, Any], hint: str) -> None:
    rendered = render(prompt(**more), EN)
    assert hint in rendered.body
    assert hint in rendered.html.replace("&quot;", '"')


def test_ticks_are_shown() -> None:
    rendered = render(prompt(multiple=True, chosen=("cold-brew",)), EN)
    assert "1. [ ] Espresso" in rendered.body and "3. [x] Cold brew" in rendered.body
    assert rendered.content["app.rialto.choices"]["chosen"] == ["cold-brew"]
    assert rendered.reactions == ("1️⃣", "2️⃣", "3️⃣", "✅")


def test_reactions_only_for_few() -> None:
    assert len(render(prompt([f"o{number}" for number in range(5)]), EN).reactions) == 5
    assert render(prompt([f"o{number}" for number in range(6)]), EN).reactions == ()
    own = prompt([Option("a", "Tea", key="🍵"), Option("b", "Done", key="✅")], multiple=True)
    assert render(own, EN).reactions == ("🍵", "✅", "☑️")


HOSTILE = '<b>x</b>\n2. Free\u202egnp.exe\u0000 & "q"\u2066'


def test_what_people_wrote_stays_in_its_place() -> None:
    hostile = ChoicePrompt(HOSTILE, [Option("a", HOSTILE, HOSTILE), Option("b", "Fine")], id=HOSTILE)
    rendered = render(hostile, EN)
    for made in (rendered, render_chosen(hostile, ["a"], EN)):
        assert {tag for tag, _ in Tags(made.html).tags} <= {"p", "ol", "li", "br", "em"}
        assert not any(unicodedata.category(char) in {"Cf", "Cs"} for char in made.body + made.html)
        assert "\x00" not in made.body + made.html
    assert (
        len([line for line in rendered.body.splitlines() if line.startswith("2. ")]) == 2
    )  # of the question, and Fine
    assert '1. <b>x</b> 2. Freegnp.exe & "q" – ' in rendered.body


@given(st.lists(st.text(max_size=300), min_size=1, max_size=12), st.text(min_size=1, max_size=2_000))
def test_any_words_render_safely(labels: list[str], question: str) -> None:
    try:
        made = ChoicePrompt(question, options_of(labels))
    except InvalidChoices:
        return
    rendered = render(made, EN)
    parsed = Tags(rendered.html)
    assert [tag for tag, _ in parsed.tags].count("li") == len(made.shown)
    assert {tag for tag, _ in parsed.tags} <= {"p", "ol", "li", "br", "em"}
    for number, option in made.shown:
        assert f"{number}. {option.label}" in rendered.body.split("\n")
        assert len(option.label) <= 100
    rendered.body.encode()
    json.dumps(rendered.content).encode()


@pytest.mark.parametrize("char", ["a", "&", "'", '"', "\U0001f600", "字", "\\"])
def test_a_full_page_fits_into_an_event(char: str) -> None:
    options = [Option(f"{number}".rjust(64, "v"), char * 100, char * 200) for number in range(20)]
    full = ChoicePrompt(char * 1_000, options, page_size=20, id="x" * 200)
    rendered = render(full, EN)
    content = {
        "msgtype": "m.notice",
        "body": rendered.body,
        "format": "org.matrix.custom.html",
        "formatted_body": rendered.html,
        **rendered.content,
    }
    assert len(json.dumps(content, ensure_ascii=False).encode()) * 4 / 3 < 64_000


def test_what_was_chosen() -> None:
    made = render_chosen(prompt(multiple=True, id="p1"), ["cold-brew", "espresso"], EN)
    assert made.body == "What would you like?\n\nChosen: Espresso, Cold brew"
    assert made.html == "<p>What would you like?</p><p>Chosen: Espresso, Cold brew</p>"
    assert made.content == {
        "app.rialto.choices": {"version": 1, "prompt": "p1", "closed": True, "chosen": ["espresso", "cold-brew"]}
    }
    assert made.reactions == ()
    assert render_chosen(prompt(minimum=0), [], EN).body.endswith("Nothing chosen")
    many = prompt([f"o{number}" for number in range(30)], multiple=True)
    assert render_chosen(many, [option.value for option in many.options], EN).body.endswith("o19 and 10 more")


def test_braces_in_labels_are_no_fields() -> None:
    made = prompt(["{labels}", "{0}"])
    assert "1. {labels}" in render(made, EN).body
    assert render_chosen(made, [made.options[0].value], EN).body.endswith("Chosen: {labels}")
    assert "{0}" in explain(made, NoMatch((made.options[1],)), EN)


def test_a_poll_has_at_most_twenty_answers() -> None:
    poll = as_poll(prompt(multiple=True, maximum=2))
    assert poll is not None
    assert (poll.question, poll.max_selections) == ("What would you like?", 2)
    assert [(answer.id, answer.text) for answer in poll.answers] == [
        ("espresso", "Espresso"),
        ("flat-white", "Flat white"),
        ("cold-brew", "Cold brew"),
    ]
    assert as_poll(prompt([f"o{number}" for number in range(20)])) is not None
    assert as_poll(prompt([f"o{number}" for number in range(21)])) is None


def test_confirm() -> None:
    asked = confirm("Sure?", EN, id="c")
    assert [(option.value, option.label, option.key) for option in asked.options] == [
        ("yes", "Yes", "✅"),
        ("no", "No", "❌"),
    ]
    assert render(asked, EN).reactions == ("✅", "❌")


def test_values_are_made_of_labels() -> None:
    made = options_of(["Crème brûlée!", "creme brulee", "🍕", "咖啡", Option("own", "Own"), "own"])
    assert [option.value for option in made] == ["creme-brulee", "creme-brulee-2", "option-3", "咖啡", "own", "own-2"]
    assert options_of(["b", "a"])[1].value == options_of(["a"])[0].value


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: prompt([]), "1 to 1000 options"),
        (lambda: prompt(["a"] * 1_001), "1 to 1000 options"),
        (lambda: ChoicePrompt(" \u200b", options_of(["a"])), "needs a question"),
        (lambda: prompt(["a", "\u200b \n"]), "visible text"),
        (lambda: prompt(["a", "\u20e3"]), "visible text"),
        (lambda: Option("", "a"), "value"),
        (lambda: Option("a\nb", "a"), "value"),
        (lambda: Option("v" * 65, "a"), "value"),
        (lambda: Option("v", "a", key=""), "reaction"),
        (lambda: Option("v", "a", key="k" * 33), "reaction"),
        (lambda: Option("v", "a", key="\u202ek"), "reaction"),
        (lambda: Option("v", "a", aliases=("x",) * 41), "aliases"),
        (lambda: prompt([Option("a", "A"), Option("a", "B")]), "same value"),
        (lambda: prompt([Option("a", "A", key="👍"), Option("b", "B", key="👍🏽")]), "same reaction"),
        (lambda: prompt([Option("a", "A", key="2️⃣"), Option("b", "B")]), "same reaction"),
        (lambda: prompt(minimum=2), "minimum"),
        (lambda: prompt(multiple=True, maximum=4), "minimum"),
        (lambda: prompt(multiple=True, minimum=0, maximum=0), "minimum"),
        (lambda: prompt(multiple=True, minimum=-1), "minimum"),
        (lambda: prompt(page=2), "pages 1 to 1"),
        (lambda: prompt(page=0), "pages 1 to 1"),
        (lambda: prompt(page_size=0), "1 to 20"),
        (lambda: prompt(page_size=21), "1 to 20"),
        (lambda: prompt([f"o{number}" for number in range(21)], allow_more=False), "at most 20"),
        (lambda: prompt(multiple=True, chosen=("tea",)), "ticked"),
    ],
)
def test_what_cannot_be_offered(make: Any, says: str) -> None:
    with pytest.raises(InvalidChoices, match=says):
        make()


def test_one_page_without_more() -> None:
    assert prompt([f"o{number}" for number in range(15)], allow_more=False).pages == 1


def test_long_labels_are_cut_between_characters() -> None:
    assert Option("v", "x" * 101).label == "x" * 99 + "…"
    family = "👩\u200d👩\u200d👧"
    label = Option("v", "x" * 97 + family * 3).label
    assert label == "x" * 97 + "…"
    assert Option("v", "x" * 98 + "q\u0301\u0302\u0303").label == "x" * 98 + "…"


def test_words_for_what_was_no_choice() -> None:
    drinks = prompt(multiple=True)
    one, two, _ = drinks.options
    assert explain(drinks, NoMatch(), EN) == "That is none of the options."
    assert explain(drinks, NoMatch((two,)), EN).endswith("Did you mean “2. Flat white”?")
    assert "“1. Espresso”, “2. Flat white”" in explain(drinks, Ambiguous((one, two)), EN)
    assert explain(drinks, TooFew(0, 1), EN) == "Please choose at least 1 option."
    assert explain(drinks, TooMany(3, 2), EN) == "Please choose at most 2 options."
    assert "earlier question" in explain(drinks, Stale("p0"), EN)
