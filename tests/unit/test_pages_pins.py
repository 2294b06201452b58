"""What can be a PIN."""

from __future__ import annotations

import pytest

from bots.framework.i18n import Catalogues
from bots.payments.pin_rules import PinRefused, checked, digits_of

ALICE = "@alice:example.org"


@pytest.mark.parametrize(
    ("typed", "pin"),
    [
        ("274913", "274913"),
        (" 274 913 ", "274913"),
        ("274-913", "274913"),
        ("٢٧٤٩١٣", "274913"),
        ("۲۷۴۹۱۳", "274913"),
        ("２７４９１３", "274913"),
        ("274913058264", "274913058264"),
        ("9035174", "9035174"),
        ("31415926", "31415926"),
    ],
)
def test_pins(typed: str, pin: str) -> None:
    assert digits_of(typed) == pin
    assert checked(typed, ALICE) == pin


@pytest.mark.parametrize("typed", ["", "   ", "12345a", "½½½½½½", "-274913+", "abcdef", "27\u200b4913"])
def test_only_digits(typed: str) -> None:
    with pytest.raises(PinRefused, match="digits only"):
        checked(typed, ALICE)


@pytest.mark.parametrize("typed", ["1", "27491", "2749130582641"])
def test_length(typed: str) -> None:
    with pytest.raises(PinRefused, match="6 to 12 digits"):
        checked(typed, ALICE)


@pytest.mark.parametrize("typed", ["000000", "²²²²²²", "777777", "747474", "112211", "777177"])
def test_few_digits(typed: str) -> None:
    with pytest.raises(PinRefused, match="three different digits"):
        checked(typed, ALICE)


@pytest.mark.parametrize(
    "typed",
    [
        "123456", "654321", "234567", "890123", "098765", "246802", "135791", "112233", "998877", "123321", "456654",
        "123789", "123123", "482482", "48214821", "159753", "147258", "280082", "12344321",
    ],
)  # fmt: skip
def test_patterns(typed: str) -> None:
    with pytest.raises(PinRefused, match="pattern"):
        checked(typed, ALICE)


@pytest.mark.parametrize("typed", ["240590", "052490", "900524", "24051990", "05241990", "19900524", "311299"])
def test_dates(typed: str) -> None:
    with pytest.raises(PinRefused, match="date"):
        checked(typed, ALICE)


@pytest.mark.parametrize("typed", ["24052190", "339914", "491500", "24139015"])
def test_what_is_no_date(typed: str) -> None:
    assert checked(typed, ALICE) == typed


def test_the_persons_own_number() -> None:
    assert checked("555739", ALICE)
    with pytest.raises(PinRefused, match="your name"):
        checked("555739", "@+1555739:example.org")


def test_most_pins_can_be_had() -> None:
    """What is refused is what is guessed first, and not so much that guessing gets easier."""

    def can_be(pin: str) -> bool:
        try:
            return bool(checked(pin, ALICE))
        except PinRefused:
            return False

    tried = range(0, 1_000_000, 37)
    assert sum(can_be(f"{each:06}") for each in tried) / len(tried) > 0.85


def test_a_refusal_speaks_to_people_in_their_language() -> None:
    with pytest.raises(PinRefused) as refused:
        checked("1", ALICE)
    german = Catalogues()
    german.add_package("pages", "bots.pages")
    words = german.translator("de", "pages").t(refused.value.msgid, **refused.value.values)
    assert words == "Eine PIN hat 6 bis 12 Ziffern."
    assert "1" not in refused.value.fields
