"""Card numbers in chat: found however they are written, and little else taken for one."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.domain.cards import find, luhn, mask

VISA = "4111111111111111"
# The test numbers that issuers and payment services publish.
PUBLISHED = {
    "4242424242424242": "Visa",
    "4012888888881881": "Visa",
    "4222222222222": "Visa",
    "5555555555554444": "Mastercard",
    "2223003122003222": "Mastercard",
    "378282246310005": "American Express",
    "341111111111111": "American Express",
    "6011111111111117": "Discover",
    "6011000990139424": "Discover",
    "30569309025904": "Diners Club",
    "36227206271667": "Diners Club",
    "3566002020360505": "JCB",
    "6200000000000005": "UnionPay",
    "6205500000000000004": "UnionPay",
    "6759649826438453": "Maestro",
    "2200000000000004": "Mir",
}


@pytest.mark.parametrize(("number", "brand"), PUBLISHED.items())
def test_cards_of_all_brands(number: str, brand: str) -> None:
    (card,) = find(f"take {number} please")
    assert (card.brand, card.start, card.end) == (brand, 5, 5 + len(number))
    assert mask(f"take {number} please") == f"take {'•' * (len(number) - 4)}{number[-4:]} please"


@pytest.mark.parametrize(
    "written",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111.1111.1111.1111",
        "4111\u00a01111\u00a01111\u00a01111",
        "4111\u20111111\u20111111\u20111111",
        "4111 1111-1111 1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "4111\u200b1111\u200b1111\u200b1111",
        "4111 \u200e1111 1111 1111",
        "41111111 11111111",
        "٤١١١ ١١١١ ١١١١ ١١١١",
        "४१११११११११११११११",
        "４１１１１１１１１１１１１１１１",
        "card:4111111111111111",
        "card no.4111111111111111",
        "4111111111111111.Thanks!",
        "(4111111111111111)",
        "«4111111111111111»",
        "5,4111111111111111,12/27",
        "4111 1111 1111 1111 12/27 123",
        "4111 1111 1111 1111 123",
        "4111 1111 1111 1111 0127 123",
        "4111111111111111 0127",
        "4111-1111-1111-1111-123",
        "DE 4111111111111111",
        "银行卡 4111111111111111",
    ],
)
def test_cards_however_they_are_written(written: str) -> None:
    assert len(find(written)) == 1
    masked = mask(written)
    assert find(masked) == () and masked != written and len(masked) == len(written)
    assert sum(char == "•" for char in masked) == 12


def test_american_express_and_diners_in_their_groups() -> None:
    assert mask("3782 822463 10005 and 3056 930902 5904") == "•••• •••••• •0005 and •••• •••••• 5904"


def test_several_in_one_text() -> None:
    text = "4111 1111 1111 1111 5555 5555 5555 4444"
    assert mask(text) == "•••• •••• •••• 1111 •••• •••• •••• 4444"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no digits",
        "4111111111111112",  # the check digit
        "9999999999999995",  # nobody's range
        "0000000000000000",
        "4444444444444448x",
        # IBANs, some with a card's number in them
        "DE89 3704 0044 0532 0130 00",
        "DE89370400440532013000",
        "GB29 NWBK 6016 1331 9268 19",
        "NO93 8601 1117 947",
        "FR14 2004 1010 0505 0001 3M02 606",
        "BE68 5390 0754 7034",
        "AT61 1904 3002 3457 3201",
        # telephone numbers
        "+4111111111111111",
        "+49 176 1234 5678",
        "+1 (415) 555-2671, +1 415 555 2672",
        "0049 176 12345678",
        "tel:+49-30-1234567890",
        # times
        "1767225600000",
        "1767225600000000",
        "1767225600000000000",
        "20261128180000",
        "2026-11-28 18:00:00.123456",
        "2026-11-28T18:00:00Z 2026-11-28T19:00:00Z",
        # orders, parcels, identifiers
        "order ORD-4111111111111111",
        "order #4111111111111111",
        "id_4111111111111111",
        "2026-4111111111111111",
        "4111111111111111-DE",
        "https://example.org/p/4111111111111111",
        "https://example.org/?id=4111111111111111&x=1",
        "@4111111111111111:example.org",
        "4111111111111111@example.org",
        "a4111111111111111",
        "41111111111111110000",
        "1Z999AA10123456784",
        "12345678-1234-4123-8123-123456789012",
        "550e8400-e29b-41d4-a716-446655440000",
        "490154203237518",  # IMEI
        "978-3-16-148410-0",
        "4006381333931",  # EAN-13
        "4007817525074",
        # amounts and measures
        "0.4111111111111111",
        "4111111111111111.00",
        "€4111111111111111",
        "4,111,111,111,111,111",
        "4 111 111 111 111 111",
        "1200 1350 1425 1500",
        "192.168.100.200",
        "48.858370, 2.294481",
    ],
)
def test_what_is_no_card(text: str) -> None:
    assert find(text) == ()
    assert mask(text) == text


def test_of_numbers_by_chance_few_are_taken_for_cards() -> None:
    """Random 16 digits: a fifth begins like a card's, a tenth of these has the right check digit."""
    chance = random.Random(4)
    numbers = [str(chance.randrange(10**15, 10**16)) for _ in range(20_000)]
    taken = sum(bool(find(number)) for number in numbers)
    assert taken < 20_000 * 0.04
    orders = [f"{chance.randrange(10**9, 10**12)}" for _ in range(5_000)]
    assert not any(find(order) for order in orders)
    stamps = [str(chance.randrange(1_500_000_000_000, 2_000_000_000_000)) for _ in range(5_000)]
    assert not any(find(stamp) for stamp in stamps)


def completed(body: str) -> str:
    return next(body + digit for digit in "0123456789" if luhn(body + digit))


PREFIXES = st.sampled_from([("4", 16), ("51", 16), ("2221", 16), ("2720", 16), ("37", 15), ("62", 19), ("36", 14)])


@given(PREFIXES, st.data(), st.sampled_from(["", " ", "-", "\u00a0"]))
def test_every_card_is_found_and_masked(prefix: tuple[str, int], data: st.DataObject, separator: str) -> None:
    start, length = prefix
    rest = data.draw(st.text("0123456789", min_size=length - 1 - len(start), max_size=length - 1 - len(start)))
    number = completed(start + rest)
    written = separator.join(number[place : place + 4] for place in range(0, length, 4))
    text = f"here: {written}, thanks"
    (card,) = find(text)
    assert text[card.start : card.end] == written
    assert number[:-4] not in mask(text).replace(separator or "~", "")


@given(st.text(max_size=200))
def test_any_text_is_survived_and_masked_once(text: str) -> None:
    masked = mask(text)
    assert len(masked) == len(text)
    assert mask(masked) == masked


@given(st.text(alphabet="0123456789 -.4551", max_size=120))
def test_nothing_is_left_after_masking(text: str) -> None:
    assert find(mask(text)) == ()


def test_long_texts_take_no_time() -> None:
    began = time.perf_counter()
    for text in ("1 " * 30_000, "4" * 60_000, "4111 " * 12_000, "DE89 " * 12_000, "DE00" + "0 " * 30_000):
        find(text)
    assert time.perf_counter() - began < 10  # about one second
