"""Catalogues as files: what is read, what is refused and with which words, and what is written is read back."""

from __future__ import annotations

import codecs
import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.commerce.importing import ImportPlan, as_csv, as_yaml, planned
from bots.commerce.importing.entries import COLUMNS
from bots.commerce.importing.reading import CSV_MAX, YAML_MAX
from bots.commerce.importing.values import key_of
from bots.domain.catalogue import (
    Category,
    Modifier,
    ModifierGroup,
    PriceRule,
    Product,
    Stock,
    StockKind,
    Variant,
)
from bots.domain.money import Money


def eur(text: str) -> Money:
    return Money.of(text, "EUR")


PIZZA = Product(
    "margherita",
    "Margherita",
    (Variant("small", "Small", eur("7.50")), Variant("large", "Large", eur("9.50"), Stock.of(4))),
    description="Tomato, mozzarella\nand basil",
    categories=("pizza",),
    groups=(
        ModifierGroup(
            "top", "Toppings", (Modifier("ham", "Ham", eur("1.50")), Modifier("no-basil", "No basil", eur("0"))), 0, 2
        ),
    ),
    tax=Decimal("0.07"),
    language="en",
)
SHELVES = [Category("pizza", "Pizza")]


def plan(text: str | bytes, name: str = "menu.csv", there: tuple[Product, ...] = (), **options: bool) -> ImportPlan:
    data = text.encode() if isinstance(text, str) else text
    return planned(data, name, there, SHELVES if there else [], currency="EUR", language="en", **options)


def told(made: ImportPlan) -> list[tuple[int, str, str]]:
    return [(each.line, each.column, each.message) for each in made.errors]


def one(made: ImportPlan) -> Product:
    assert told(made) == []
    (product,) = made.added
    return product


# --- CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_as_spreadsheets_write_it(delimiter: str, encoding: str) -> None:
    rows = [
        ["Name", "Price", "Description", "Category", "Tax", "Stock"],
        ["Crème brûlée", "6.50", '"with\na ""crust"""', "Desserts > Cold", "19%", "12"],
        ["宫保鸡丁", "11", "辣", "中餐", "7", "unlimited"],
        ["فلافل", "4.20", "", "Desserts > Cold", "0", ""],
    ]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    made = plan(text.encode(encoding))
    assert told(made) == []
    brulee, chicken, falafel = made.added
    assert (brulee.key, brulee.description) == ("creme-brulee", 'with\na "crust"')
    assert brulee.variants == (Variant("one", "Crème brûlée", eur("6.50"), Stock.of(12)),)
    assert brulee.tax == Decimal("0.19")
    assert chicken.name == "宫保鸡丁" and chicken.key == key_of("宫保鸡丁")
    assert falafel.key == key_of("فلافل") != chicken.key
    assert [(each.name, each.parent) for each in made.categories] == [
        ("Desserts", ""),
        ("Cold", "desserts"),
        ("中餐", ""),
    ]
    assert brulee.categories == falafel.categories == ("cold",)


def test_lines_of_one_product_are_its_variants() -> None:
    made = one(plan("name,variant,price,stock,description\nShirt,S,10,3,Cotton\nShirt,M,11,unlimited,\n"))
    assert made.description == "Cotton"
    assert made.variants == (
        Variant("s", "S", eur("10.00"), Stock.of(3)),
        Variant("m", "M", eur("11.00")),
    )


def test_extras_as_they_are_written() -> None:
    text = (
        "Size [1]: Small | Large +2,00; Toppings [0-3]: Ham +1.50, No olives, Truffle +3.00 (out), Less -0.50; "
        "Dips: Aioli"
    )
    product = one(plan(f'name;price;extras\nPizza;8;"{text}"\n'))
    size, toppings, dips = product.groups
    assert (size.least, size.most) == (1, 1)
    assert [(each.key, each.price, each.available) for each in size.options] == [
        ("small", eur("0"), True),
        ("large", eur("2"), True),
    ]
    assert (toppings.least, toppings.most) == (0, 3)
    assert [(each.name, each.price.minor, each.available) for each in toppings.options] == [
        ("Ham", 150, True),
        ("No olives", 0, True),
        ("Truffle", 300, False),
        ("Less", -50, True),
    ]
    assert (dips.name, dips.least, dips.most) == ("Dips", 0, 1)
    again = one(plan('name;price;extras\nPizza;8;"Toppings 0-2: Cheese 1.00, Coke 0"\n')).groups[0]
    assert (again.name, again.most) == ("Toppings", 2)
    assert [(each.name, each.price.minor) for each in again.options] == [("Cheese", 100), ("Coke 0", 0)]


def test_every_fault_with_its_place_and_all_at_once() -> None:
    made = plan(
        "name,price,tax,stock,extras,active,weight,language,images\n"
        "A,3.12345,19%,1,,yes,500 g,en,\n"
        "B,,0.19,-1,,maybe,heavy,english please,http://x/y.png\n"
        "C,1 USD,7,2 per 0 min,Toppings [0-3]:,,,,\n"
        ",5,,,,,,,\n"
        "D,1.000,,,No colon,,,,\n"
        "A,2,,,,,,,\n"
        "E,4,,,Two [2-1]: x | y,,,,\n"
        "F,4,,,Dup: x | x,,,,\n"
        "G,4,,,,,,,,too,many\n"
        f"{'H' * 200},4,,,,,,,\n"
    )
    assert made.added == ()
    assert told(made) == [
        (2, "price", "EUR has at most 2 decimals, and “3.12345” has 5."),
        (3, "price", "This is missing."),
        (3, "stock", "Write how many there are, “unlimited”, or so many for a time: 20 per 30 min."),
        (3, "language", "Write a language such as en, de or zh-Hant."),
        (3, "images", "Images are mxc:// addresses here: send photos to this chat instead."),
        (3, "tax", "Write a tax rate in percent, such as 19%."),
        (3, "weight", "Write a weight such as 500 g or 1.2 kg."),
        (3, "active", "Write yes or no."),
        (4, "price", "Your prices are in EUR, and this is in USD."),
        (4, "stock", "Write how many there are, “unlimited”, or so many for a time: 20 per 30 min."),
        (4, "extras", "The group “Toppings” has no extras to choose from."),
        (5, "name", "This is missing."),
        (6, "price", "EUR has at most 2 decimals, and “1.000” has 3."),
        (
            6,
            "extras",
            "Extras are written like this: Size [1]: Small | Large +2.00; Toppings [0-3]: Ham +1.50",
        ),
        (7, "name", "“A” is there twice, first in line 2."),
        (8, "extras", "“Two”: at least 2 and at most 1 of 2 cannot be chosen."),
        (9, "extras", "Two extras of “Dup” are called the same."),
        (10, "", "There are 11 values in this line, and 9 columns."),
        (11, "name", "A name has 1 to 120 characters."),
    ]


def test_unknown_columns_are_named_with_the_nearest() -> None:
    made = plan("name,prise,colour of it\nA,1,red\n")
    assert told(made)[:2] == [
        (1, "prise", "“prise” is not known here. Did you mean “price”?"),
        (
            1,
            "colour of it",
            "“colour of it” is not known here. Known are: key, name, description, category, extras, tax, language, "
            "weight, images, active, remove, variant, variant key, price, stock.",
        ),
    ]
    assert told(plan("name,price,Price\nA,1,2\n")) == [(1, "price", "This is there twice.")]
    assert told(plan("foo,bar\n1,2\n"))[0][2].startswith("The first line names no column that I know")


def test_fifty_faults_and_how_many_more() -> None:
    made = plan("name,price\n" + "".join(f"P{number},x\n" for number in range(80)))
    assert len(made.errors) == 50 and made.more == 30
    endless = plan("name,price\n" + "".join(f"P{number},x\n" for number in range(4000)))
    assert len(endless.errors) == 50 and endless.more > 900


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"", 0, "The file is empty."),
        (b"\xef\xbb\xbf  \n", 0, "The file is empty."),
        (b"PK\x03\x04\x00\x00", 0, "This is no text but another kind of file, such as a spreadsheet. Save it as CSV."),
        ("name,price\nA,1\nKäse,2\n".encode("latin-1"), 3, "The file is not in UTF-8"),
        (b"name,price\nA\x1b[2J,1\n", 2, "There is a character here that cannot be shown: U+001B."),
        ("name,price\nA\u202eB,1\n".encode(), 2, "There is a character here that cannot be shown: U+202E."),
        (b'name,price\n"A,1\nB,2\n', 2, "A quotation mark is not closed, or text stands behind one."),
        (b'name,price\n"A"B,1\n', 2, "A quotation mark is not closed, or text stands behind one."),
        (b"n" * (CSV_MAX + 1), 0, "The file is larger than 4096 kB."),
        (b'name,price\n"' + b"n" * 140_000 + b'",1\n', 2, "A quotation mark is not closed, or text stands behind one."),
        (codecs.BOM_UTF16_LE + b"a", 1, "The file is not in UTF-8"),
    ],
)
def test_files_that_are_refused(data: bytes, line: int, words: str) -> None:
    ((found, _, message),) = told(plan(data))
    assert found == line
    assert message.startswith(words)


def test_another_kind_of_file() -> None:
    assert told(plan(b"name,price\nA,1", "menu.xlsx"))[0][2].startswith("This is no CSV and no YAML")
    many = "name,price\n" + "".join(f"P{number},1\n" for number in range(5001))
    assert told(plan(many)) == [(5002, "", "A file has at most 5000 products.")]


def test_what_a_file_does_not_say_stays() -> None:
    made = plan("key,variant key,variant,price\nmargherita,small,Small,8\nmargherita,large,Large,10\n", there=(PIZZA,))
    (change,) = made.changed
    assert replace(change.after, variants=PIZZA.variants) == PIZZA
    assert [each.price for each in change.after.variants] == [eur("8"), eur("10")]
    assert change.after.variants[1].stock == Stock.of(4)
    assert made.counted == frozenset()
    assert plan("name,description\nMARGHERITA,New\n", there=(PIZZA,)).errors[0].column == "price"


def test_names_find_what_is_there_and_counts_are_told() -> None:
    tea = Product("tea", "Tea", (Variant("one", "Tea", eur("2"), Stock.of(5)),))
    made = plan("name,stock\nTea,9\n", there=(tea,))
    assert made.counted == {("tea", "one")}
    assert made.changed[0].after.variants[0] == replace(tea.variants[0], stock=Stock.of(9))
    same = plan("name,stock\nTea,5\n", there=(tea,))
    assert (same.same, same.changed, same.counted) == (1, (), frozenset())
    assert plan("name,stock\nTea,unlimited\n", there=(tea,)).changed[0].after.variants[0].stock == Stock()


def test_removing() -> None:
    tea = Product("tea", "Tea", (Variant("one", "Tea", eur("2")),))
    assert plan("key,remove\ntea,yes\n", there=(PIZZA, tea)).removed == (tea,)
    assert plan("key,remove\ntea,no\n", there=(PIZZA, tea)).same == 1
    assert told(plan("key,remove\nmilk,yes\n", there=(tea,))) == [
        (2, "remove", "There is no product “milk” to remove.")
    ]
    whole = plan("key\ntea\n", there=(PIZZA, tea), complete=True)
    assert (whole.removed, whole.same, whole.order) == ((PIZZA,), 1, ())
    turned = plan(
        "key,variant key,variant\ntea,,\nmargherita,small,Small\nmargherita,large,Large",
        there=(PIZZA, tea),
        complete=True,
    )
    assert turned.order == ("tea", "margherita")


# --- YAML


def test_yaml_with_everything() -> None:
    made = plan(
        """
currency: EUR
categories:
  - {key: hot, name: Hot drinks, parent: drinks}
  - {key: drinks, name: Drinks}
products:
  - key: tea
    name: 茶
    description: |
      Two
      lines
    categories: [hot, Breakfast]
    tax: 7%
    language: zh
    weight: 1.5 kg
    active: no
    variants:
      - {name: Cup, price: 2.10, stock: 20 per 30 min}
      - name: Pot
        price: "4.00"
        rules:
          - {price: 3.50, since: 2026-01-01, until: 2026-02-01T12:00+01:00, tier: staff, least: 2}
    extras:
      - name: Milk
        choose: 0-2
        options:
          - Cow
          - {name: Oat, price: 0.40, key: oat-milk, available: no}
""",
        "Menu.YAML",
    )
    product = one(made)
    assert product == Product(
        "tea",
        "茶",
        (
            Variant("cup", "Cup", eur("2.10"), Stock(StockKind.BY_SLOT, 20, 30)),
            Variant(
                "pot",
                "Pot",
                eur("4"),
                rules=(
                    PriceRule(
                        eur("3.50"), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, 11, tzinfo=UTC), "staff", 2
                    ),
                ),
            ),
        ),
        description="Two\nlines",
        categories=("hot", "breakfast"),
        groups=(
            ModifierGroup(
                "milk",
                "Milk",
                (Modifier("cow", "Cow", eur("0")), Modifier("oat-milk", "Oat", eur("0.40"), False)),
                0,
                2,
            ),
        ),
        tax=Decimal("0.07"),
        language="zh",
        weight_g=1500,
        active=False,
    )
    assert [(each.key, each.parent) for each in made.categories] == [
        ("hot", "drinks"),
        ("drinks", ""),
        ("breakfast", ""),
    ]


def test_yaml_values_stay_as_they_are_written() -> None:
    product = one(plan("- {name: no, price: 1.10, description: 2026-01-01}\n", "m.yml"))
    assert (product.name, product.description) == ("no", "2026-01-01")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x [1]\nb: *x\n", (1, "", "References within a file (& and *) are not taken: write it out.")),
        ("products: *x\n", (1, "", "References within a file (& and *) are not taken: write it out.")),
        ("products:\n  - &a {name: x, price: 1}\n", (2, "", "References within a file")),
        ("products:\n  - !!python/object:os.system {name: x}\n", (2, "", "Kinds of values (!…) and merges (<<)")),
        ("products:\n  - {name: !secret x, price: 1}\n", (2, "", "Kinds of values (!…) and merges (<<)")),
        ("products: [\n", (2, "", "This is no YAML that can be read")),
        ("products:\n\t- x\n", (2, "", "This is no YAML that can be read")),
        ("--- 1\n--- 2\n", (2, "", "This is no YAML that can be read")),
        ("a: " + "[" * 3000, (1, "", "This is nested too deeply.")),
        ("hello\n", (1, "", "Here should stand something with keys, such as: currency, ")),
        ("products: {a: b}\n", (1, "products", "Here should stand a list.")),
        ("products: [x]\n", (1, "", "Here should stand something with keys, such as: key, name, ")),
        ("products:\n- name: [x]\n", (2, "name", "Here should stand one value.")),
        ("currency: USD\n", (1, "currency", "Your prices are in EUR, and this is in USD.")),
        ("complete: perhaps\n", (1, "complete", "Write yes or no.")),
        ("products:\n- nmae: x\n", (2, "nmae", "“nmae” is not known here. Did you mean “name”?")),
        ("products:\n- {name: x, name: y, price: 1}\n", (2, "name", "This is there twice.")),
        ("- {name: x, price: 1}\n- {name: X, price: 1}\n", (2, "", "“X” is there twice, first in line 1.")),
        ("- {name: x, price: 1.12345}\n", (1, "price", "EUR has at most 2 decimals, and “1.12345” has 5.")),
        ("- {name: x, price: .inf}\n", (1, "price", "“.inf” is not an amount of money such as 12.50 EUR.")),
        (
            "- name: x\n  price: 1\n  extras:\n  - name: Top\n    options: []\n",
            (4, "extras", "The group “Top” has no extras to choose from."),
        ),
        (
            "categories:\n- {name: A, parent: B}\n- {name: B, parent: C}\n- {name: C, parent: A}\n",
            (2, "parent", "“A” lies in itself."),
        ),
        ("categories:\n- {name: A, parent: A}\n", (2, "parent", "“A” lies in itself.")),
        ("categories:\n- {name: A, parent: Z}\n", (2, "parent", "There is no category “Z”.")),
        ("categories:\n- {parent: Z}\n", (2, "name", "This is missing.")),
        (
            "- name: x\n  variants: [{name: A, price: 1}, {name: a, price: 2}]\n",
            (1, "variant", "Two variants of “x” are called the same."),
        ),
        ("# nothing\n", (0, "", "The file is empty.")),
        ("a" * (YAML_MAX + 1), (0, "", "The file is larger than 512 kB.")),
    ],
)
def test_yaml_that_is_refused(text: str, expected: tuple[int, str, str]) -> None:
    made = plan(text, "menu.yaml")
    found = told(made)
    assert found, "nothing was said"
    line, column, words = expected
    assert found[0][:2] == (line, column), found
    assert found[0][2].startswith(words), found
    assert not (made.added or made.changed or made.removed)


def test_a_bomb_of_references_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    assert told(plan("\n".join(lines), "bomb.yaml"))[0][2].startswith("References within a file")


# --- there and back

NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co", "Zl", "Zp", "Cf")), min_size=1, max_size=12)
WORDS = NAMES.map(lambda text: " ".join(text.split())).filter(
    lambda text: bool(text) and not set(text) & set("|;:[]>'")
)
PRICES = st.integers(0, 10_000_00).map(lambda minor: Money(minor, "EUR"))
KEYS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
STOCKS = st.one_of(
    st.just(Stock()),
    st.integers(0, 10**9).map(Stock.of),
    st.builds(Stock, st.just(StockKind.BY_SLOT), st.integers(0, 999), st.integers(1, 1440)),
)


@st.composite
def products(draw: st.DrawFn) -> Product:
    keys = draw(st.lists(KEYS, min_size=1, max_size=3, unique=True))
    names = draw(st.lists(WORDS, min_size=3, max_size=3, unique_by=lambda text: " ".join(text.casefold().split())))
    name = draw(WORDS)
    variants = tuple(
        Variant(key, name if len(keys) == 1 else label, draw(PRICES), draw(STOCKS))
        for key, label in zip(keys, names, strict=False)
    )
    return Product(
        draw(KEYS),
        name,
        variants,
        description=draw(st.one_of(st.just(""), WORDS)),
        categories=draw(st.sampled_from([(), ("pizza",)])),
        tax=Decimal(draw(st.integers(0, 300))).scaleb(-3).normalize() + 0,
        language=draw(st.sampled_from(["", "de", "zh-Hant"])),
        weight_g=draw(st.integers(0, 90_000)),
        active=draw(st.booleans()),
    )


@settings(max_examples=30, deadline=None)
@given(
    st.lists(products(), min_size=1, max_size=3, unique_by=(lambda each: each.key, lambda each: each.name.casefold()))
)
def test_what_is_written_is_read_back(made: list[Product]) -> None:
    for data, name in ((as_csv(made, SHELVES), "a.csv"), (as_yaml(made, SHELVES, "EUR"), "a.yaml")):
        fresh = planned(data, name, [], SHELVES, currency="EUR", language="en")
        assert told(fresh) == []
        assert list(fresh.added) == made
        again = planned(data, name, made, SHELVES, currency="EUR", language="en")
        assert (again.same, again.empty) == (len(made), True)


def test_extras_and_rules_are_written_too() -> None:
    ruled = replace(PIZZA.variants[0], rules=(PriceRule(eur("5"), datetime(2026, 1, 1, tzinfo=UTC), None, "club", 3),))
    whole = replace(PIZZA, variants=(ruled, PIZZA.variants[1]))
    assert one(plan(as_yaml([whole], SHELVES, "EUR"), "a.yaml")) == replace(
        whole, groups=(replace(whole.groups[0], key="top"),)
    )
    made = plan(as_csv([whole], SHELVES), there=(whole,))
    assert (told(made), made.same) == ([], 1)


def test_a_spreadsheet_takes_nothing_for_a_formula() -> None:
    evil = Product("evil", '=HYPERLINK("http://x")', (Variant("one", "One", eur("1")),), description="+1")
    written = as_csv([evil], []).decode("utf-8-sig")
    assert "'=HYPERLINK" in written and ",'+1," in written
    assert one(plan(as_csv([evil], []))).name == evil.name


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["a.csv", "a.yaml"]))
def test_any_bytes_are_a_plan_or_problems(data: bytes, name: str) -> None:
    plan(data, name)
    plan(b"name,price,extras,stock,category\n" + data, "a.csv")
    plan(b"products:\n  - " + data, "a.yaml")


def test_the_examples_of_the_document() -> None:
    page = (Path(__file__).parents[2] / "docs" / "commerce.md").read_text()
    blocks = re.findall(r"^```(csv|yaml|)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    sheets = [text for kind, text in blocks if kind == "csv"]
    menus = [text for kind, text in blocks if kind == "yaml" and "products:" in text]
    (extras,) = [text.strip() for kind, text in blocks if not kind]
    assert len(sheets) == len(menus) == 1
    for text, name, count in ((sheets[0], "a.csv", 3), (menus[0], "a.yaml", 1)):
        made = plan(text, name)
        assert (told(made), len(made.added)) == ([], count)
    assert len(one(plan(f'name,price,extras\nPizza,8,"{extras}"\n')).groups) == 2
    columns = set(re.findall(r"^\| `([a-z ]+)` \|", page, re.MULTILINE))
    assert set(COLUMNS) <= columns
