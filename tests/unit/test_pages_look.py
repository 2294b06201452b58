"""The look of pages: contrasts of every pair of colours in both schemes (WCAG 2.2), and names for everything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from importlib.resources import files
from itertools import product

import pytest

from bots.framework.i18n import Catalogues
from bots.pages import Button, Choice, Fact, Field, FieldKind, Mark, Page, Weight
from bots.pages.rendering import Renderer

STYLE = (files("bots.pages") / "templates" / "look.css").read_text("utf-8")
TEXT, PARTS = 4.5, 3.0
"""The least contrasts of level AA: of text (1.4.3), and of what is needed to know a control or a sign (1.4.11)."""
PAIRS = [
    ("ink", "paper", TEXT),
    ("ink", "ground", TEXT),
    ("ink", "bad-ground", TEXT),
    ("ink", "wait-ground", TEXT),
    ("soft", "paper", TEXT),
    ("soft", "ground", TEXT),
    ("bad", "paper", TEXT),
    ("bad", "bad-ground", TEXT),
    ("on-accent", "accent", TEXT),
    ("on-accent", "accent-strong", TEXT),
    ("on-bad", "bad", TEXT),
    ("edge", "paper", PARTS),
    ("accent", "paper", PARTS),
    ("accent", "ground", PARTS),
    ("wait", "paper", PARTS),
    ("wait", "wait-ground", PARTS),
    ("bad", "paper", PARTS),
    ("focus", "paper", PARTS),
]
DECORATION = {"line"}
"""Lines between things that are apart already."""


def schemes() -> Mapping[str, Mapping[str, str]]:
    """The colours of each scheme; the dark one keeps what it does not change."""
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", STYLE, re.S)
    )
    return {"light": light, "dark": light | dark}


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """From 1 to 21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrasts_are_computed_as_the_standard_has_them() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(("scheme", "pair"), list(product(("light", "dark"), PAIRS)), ids=str)
def test_everything_can_be_told_from_what_it_stands_on(scheme: str, pair: tuple[str, str, float]) -> None:
    front, back, least = pair
    colours = schemes()[scheme]
    assert contrast(colours[front], colours[back]) >= least


def test_every_colour_is_in_both_schemes_and_checked() -> None:
    light, dark = schemes().values()
    assert set(light) == set(dark) == {name for pair in PAIRS for name in pair[:2]} | DECORATION
    assert all(light[name] != dark[name] for name in set(light) - {"edge"})
    # No colour stands outside the variables.
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b", re.sub(r":root \{.*?\}", "", STYLE, flags=re.S)) == []
    used = set(re.findall(r"var\(--([a-z-]+)\)", STYLE))
    assert used == set(light)


def test_text_can_be_made_larger() -> None:
    """Sizes of text are relative, so that the browser's own setting counts."""
    sizes = re.findall(r"font(?:-size)?:([^;]*)", STYLE)
    assert sizes and not any("px" in size for size in sizes)


class Outline(HTMLParser):
    """What assistive technology needs of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.labels: set[str] = set()
        self.controls: list[dict[str, str | None]] = []
        self.headings: list[str] = []
        self.described: list[str] = []
        self.links: list[str] = []
        self.landmarks: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "label":
            self.labels.add(str(given["for"]))
        if tag == "input" and given.get("type") != "hidden":
            self.controls.append(given)
        if tag in {"h1", "h2"}:
            self.headings.append(tag)
        if tag in {"header", "main", "footer"}:
            self.landmarks.append(tag)
        if tag == "a":
            self.links.append(str(given["href"]))
        self.described += str(given.get("aria-describedby") or "").split()
        self.described += str(given.get("aria-labelledby") or "").split()


FULL = Page(
    "A page with everything",
    "Lead",
    amount="€1",
    mark=Mark.WAITING,
    facts=[Fact("To", "Bob", "@bob:example.org")],
    texts=["A paragraph"],
    caution="Careful",
    problem="Something else",
    fields=[
        Field("pin", "Your PIN", FieldKind.PIN, hint="Six", error="Wrong"),
        Field("name", "Name", error="Missing", value="x"),
        Field("how", "How?", FieldKind.CHOICE, error="Choose", choices=[Choice("a", "A", "first"), Choice("b", "B")]),
        Field("note", "Note"),
    ],
    buttons=[Button("go", "Go"), Button("stop", "Stop", Weight.DANGER)],
    closing="The end",
    status=422,
)


def rendered(page: Page) -> str:
    renderer = Renderer(Catalogues(), "https://pay.example.org")
    text = renderer.render(page, renderer.translation([]), "secret").text
    assert text is not None
    return text


def test_every_control_has_a_name_and_every_error_belongs_to_one() -> None:
    html = rendered(FULL)
    page = Outline(html)
    assert len(page.ids) == len(set(page.ids))
    assert {control["id"] for control in page.controls} == page.labels
    assert set(page.described) <= set(page.ids)
    assert page.links == ["#pin", "#name", "#how-0"] and {link[1:] for link in page.links} <= set(page.ids)
    assert page.headings == ["h1", "h2"] and page.landmarks == ["header", "main", "footer"]
    wrong = {control["id"] for control in page.controls if control.get("aria-invalid") == "true"}
    assert wrong == {"pin", "name"}
    assert [control["id"] for control in page.controls if "autofocus" in control] == ["pin"]
    assert 'role="alert"' in html and "<title>Error: A page with everything – Rialto</title>" in html


def test_a_pin_is_typed_on_a_number_pad_and_remembered_by_nobody() -> None:
    (pin,) = [control for control in Outline(rendered(FULL)).controls if control["id"] == "pin"]
    assert pin["type"] == "password" and pin["inputmode"] == "numeric" and pin["autocomplete"] == "off"
    assert "value" not in pin
    assert (
        "value"
        not in Outline(
            rendered(Page("x", fields=[Field("p", "P", FieldKind.PIN, value="1")], buttons=FULL.buttons))
        ).controls[0]
    )


def test_a_page_without_a_form_has_none() -> None:
    html = rendered(Page("Done", mark=Mark.DONE))
    assert "<form" not in html and "secret" not in html and "aria-hidden" in html
    assert "<title>Done – Rialto</title>" in html and "pay.example.org" in html
