"""What people write of money, whom they mix up, and QR codes."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from PIL import Image

from bots.domain.money import Money
from bots.framework import InvalidValue, ParseEnv, UserID
from bots.framework.i18n import Catalogues
from bots.wallet import codes, words
from bots.wallet.chats import DOMAIN
from bots.wallet.lookalikes import alike, lookalikes
from bots.wallet.payees import full
from bots.wallet.paying import code_in, typed
from bots.wallet.words import MEMO, Order, number_of, order, token_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def env(language: str = "en", **content: object) -> ParseEnv:
    """Where somebody writes."""
    catalogues = Catalogues()
    catalogues.add_package(DOMAIN, "bots.wallet")
    translator = catalogues.translator(language, DOMAIN)
    return ParseEnv(NOW, UTC, "x", "EUR", translator=translator, content=content)


def read(text: str, language: str = "en", **content: object) -> Order:
    """The order in a text, for somebody who has saved Bobby."""
    return order(text, env(language, **content), {"bobby": "@bob:x"}, "@wallet:x")


def eur(minor: int) -> Money:
    """Cents."""
    return Money(minor, "EUR")


@pytest.mark.parametrize(
    ("text", "people", "amount", "memo"),
    [
        ("@bob 20 EUR for lunch", ["@bob:x"], eur(2000), "lunch"),
        ("@bob:other.example 20 EUR", ["@bob:other.example"], eur(2000), ""),
        ("20 EUR to @bob for lunch", ["@bob:x"], eur(2000), "lunch"),
        ("20 EUR for lunch to @bob", ["@bob:x"], eur(2000), "lunch"),
        ("90 EUR for lunch and tea with @a, @b and @c", ["@a:x", "@b:x", "@c:x"], eur(9000), "lunch and tea"),
        ("@bob 20", ["@bob:x"], eur(2000), ""),
        ("€20 @bob", ["@bob:x"], eur(2000), ""),
        ("EUR 20 to @bob", ["@bob:x"], eur(2000), ""),
        ("@bob 20€ lunch at 5", ["@bob:x"], eur(2000), "lunch at 5"),
        ("Bobby 20,50 EUR", ["@bob:x"], eur(2050), ""),
        ("@bob 1,000.50", ["@bob:x"], eur(100_050), ""),
        ("@bob 1.000,50", ["@bob:x"], eur(100_050), ""),
        ("@bob 1 000.50 EUR", ["@bob:x"], eur(100_050), ""),
        ("@bob ٢٠ EUR", ["@bob:x"], eur(2000), ""),
        ("@bob 20 usd", ["@bob:x"], Money(2000, "USD"), ""),
        ("@bob 500 JPY", ["@bob:x"], Money(500, "JPY"), ""),
        ("@bob 1.234 KWD", ["@bob:x"], Money(1234, "KWD"), ""),
        ("90 EUR with @a, @b and @c for dinner", ["@a:x", "@b:x", "@c:x"], eur(9000), "dinner"),
        ("@a @a 5", ["@a:x"], eur(500), ""),
        ("https://matrix.to/#/@bob:y 5 EUR", ["@bob:y"], eur(500), ""),
        ("@bob 20 EUR for @carol's cake", ["@bob:x"], eur(2000), "@carol's cake"),
        ('@bob 20 EUR "lunch', ["@bob:x"], eur(2000), '"lunch'),
        ("5 EUR coffee", [], eur(500), "coffee"),
    ],
)
def test_what_is_read(text: str, people: list[str], amount: Money, memo: str) -> None:
    found = read(text)
    assert (list(found.people), found.amount, found.memo) == (people, amount, memo)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("@bob -5", "less than nothing"),
        ("@bob 0 EUR", "more than nothing"),
        ("@bob 0", "more than nothing"),
        ("@bob 12.345 EUR", "at most 2 decimals"),
        ("@bob 1.5 JPY", "at most 0 decimals"),
        ("@bob 1e9", "not an amount"),
        ("@bob 20 XYZ", "not a currency"),
        ("@bob 20 EUX", "Did you mean EUR?"),
        ("@bob 20 dollars", "Is “dollars” a currency?"),
        ("@bob 20 ¤", "not a currency"),
        ("@bob 5 200", "two ways"),
        ("@bob 99999999999999999999 EUR", "too large"),
        ("@bob twenty", "do not understand “twenty”"),
        ("nobody 20 EUR", "do not understand “nobody”"),
        ("bob 20 EUR", "do not understand “bob”"),
        ("@bob 20 EUR for " + "x" * (MEMO + 1), "at most"),
        ("5 EUR " + " ".join(f"@p{n}" for n in range(51)), "too many people"),
    ],
)
def test_what_is_not(text: str, why: str) -> None:
    with pytest.raises(InvalidValue) as problem:
        read(text)
    assert why in problem.value.human


def test_the_wallet_itself_is_nobody_to_pay() -> None:
    assert read("@wallet:x @bob 5").people == ("@bob:x",)


def test_between_leaves_out_who_asks() -> None:
    assert read("90 EUR between @a and @b").alone
    assert not read("90 EUR with @a @b").alone
    assert read("90 EUR for dinner between @a @b") == Order((UserID("@a:x"), UserID("@b:x")), eur(9000), "dinner", True)


def test_a_pill_counts_by_its_link_not_its_name() -> None:
    html = 'pay <a href="https://matrix.to/#/@mallory:x">Bob</a> 5 EUR'
    found = read("Bob 5 EUR", format="org.matrix.custom.html", formatted_body=html)
    assert found.people == ("@mallory:x",), "the question shows the id"


def test_words_of_other_languages() -> None:
    assert read("20 EUR an @bob für Mittag", "de") == Order((UserID("@bob:x"),), eur(2000), "Mittag")
    assert read("20 EUR to @bob for lunch", "de").memo == "lunch", "English is understood too"
    assert read("@bob 1.234,50", "de").amount == eur(123_450)


def test_memos_are_one_clean_line() -> None:
    assert read("@bob 5 EUR for a\n b\u202ec").memo == "a bc"


@pytest.mark.parametrize(
    ("text", "token"),
    [
        (TOKEN, TOKEN),
        (TOKEN.lower(), TOKEN),
        (f"https://matrix.to/#/@wallet:x?action=pay&token={TOKEN}", TOKEN),
        (f"scan https://matrix.to/#/@wallet:x?token={TOKEN}&action=pay", TOKEN),
        ("https://matrix.to/#/@wallet:x", None),
        (TOKEN[:-1], None),
        (TOKEN + "A", None),
        ("lunch", None),
    ],
)
def test_tokens(text: str, token: str | None) -> None:
    assert token_of(text) == token


def test_numbers() -> None:
    assert [number_of(each) for each in ("3", "#12", "3 EUR", "12345", "", "x")] == [3, 12, None, None, None, None]


@pytest.mark.parametrize("text", ["123456", " 123 456 ", "123-456", "١٢٣٤٥٦", "１２３４５６"])
def test_codes(text: str) -> None:
    assert code_in(text) == "123456"


@pytest.mark.parametrize("text", ["12345", "1234567", "> 123456", "code 123456", "123456!", "123456\nyes", "1234५", ""])
def test_what_is_no_code(text: str) -> None:
    assert code_in(text) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("@bob:x", "@b0b:x"),
        ("@bob:x", "@bob:y"),
        ("@alice:x", "@al.ice:x"),
        ("@alice:x", "@alise:x"),
        ("@modern:x", "@rnodern:x"),
        ("@Bob:x", "@bob:x"),
        ("@paypal:x", "@paypai:x"),
        ("@maria:example.org", "@maria:examp1e.org"),
        ("@maria:apple.com", "@maria:xn--pple-43d.com"),
        ("@alexander:x", "@alexandeer:x"),
    ],
)
def test_who_looks_like_whom(one: str, other: str) -> None:
    assert alike(one, other)
    assert alike(other, one)
    assert lookalikes(other, [one, "@zoe:z"]) == [one]


@pytest.mark.parametrize(("one", "other"), [("@bob:x", "@bob:x"), ("@bob:x", "@rob:x"), ("@alice:x", "@bob:x")])
def test_who_does_not(one: str, other: str) -> None:
    assert not alike(one, other)


def test_somebody_known_looks_like_nobody() -> None:
    assert lookalikes("@bob:x", ["@bob:x", "@b0b:x"]) == []


@pytest.mark.parametrize("behind", [" to 1 EUR a" * 40, " to" * 5000, " and 1" * 5000])
def test_a_long_text_is_not_read_again_and_again(behind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    run = words._Reading.run

    def counted(reading: words._Reading, *, behind: bool = True) -> Order:
        texts.append(reading._text)
        assert len(texts) <= 1 + 2 * words.MOST_PEOPLE
        return run(reading, behind=behind)

    monkeypatch.setattr(words._Reading, "run", counted)
    with pytest.raises(InvalidValue, match="memo_long"):
        read("20 EUR for x" + behind)


def test_fifty_people_behind_a_memo() -> None:
    people = [f"@p{number}" for number in range(words.MOST_PEOPLE)]
    found = read("20 EUR for lunch with " + " and ".join(people))
    assert (sorted(found.people), found.memo) == (sorted(f"{each}:x" for each in people), "lunch")


def test_an_id_of_another_server_stays_within_its_line() -> None:
    crooked = "@bob\nFee: nothing.\u2028Total:\u202e1:evil.example"
    assert full(crooked, "Bob") == "Bob (@bob Fee: nothing. Total:1:evil.example)"
    assert full(crooked, "") == "@bob Fee: nothing. Total:1:evil.example"


@pytest.mark.parametrize("kind", [[], {}, 1, None, "m.replace", "m.reference"])
def test_what_is_related_otherwise_is_not_typed(kind: object) -> None:
    message = {"msgtype": "m.text", "body": "123456"}
    assert typed(SimpleNamespace(content=message))  # type: ignore[arg-type]
    related = {**message, "m.relates_to": {"rel_type": kind, "event_id": "$e"}}
    assert not typed(SimpleNamespace(content=related))  # type: ignore[arg-type]


def test_a_code_is_read_from_a_crooked_photo() -> None:
    link = codes.link_of("@wallet:example.org", TOKEN)
    code = Image.open(io.BytesIO(codes.picture_of(link))).convert("RGB").resize((700, 700))
    photo = Image.new("RGB", (2400, 3000), (120, 130, 110))
    photo.paste(code.rotate(17, expand=True, fillcolor=(255, 255, 255)), (500, 900))
    out = io.BytesIO()
    photo.save(out, "JPEG", quality=60)
    assert codes.tokens_in(codes.texts_in(out.getvalue())) == [TOKEN]


def test_a_code_on_nothing_is_read() -> None:
    code = Image.open(io.BytesIO(codes.picture_of(TOKEN))).convert("RGBA")
    seen = Image.new("RGBA", code.size, (0, 0, 0, 0))
    seen.paste((0, 0, 0, 255), mask=Image.eval(code.convert("L"), lambda light: 255 - light))
    out = io.BytesIO()
    seen.save(out, "PNG")
    assert codes.texts_in(out.getvalue()) == [TOKEN]


@pytest.mark.parametrize("data", [b"", b"hello", codes.picture_of("x")[:60]])
def test_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(codes.Unreadable):
        codes.texts_in(data)


def test_a_huge_picture_is_not_decoded() -> None:
    out = io.BytesIO()
    Image.new("1", (8000, 8000)).save(out, "PNG")
    with pytest.raises(codes.Unreadable, match="too large"):
        codes.texts_in(out.getvalue())


def test_a_bank_s_code_is_known() -> None:
    assert codes.is_bank_transfer(["BCD\n002\n1\nSCT\n\nBob\nDE89370400440532013000"])
    assert not codes.is_bank_transfer(["https://example.org"])
