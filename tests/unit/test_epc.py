"""IBAN, creditor references and the QR code of bank transfers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.domain.epc import (
    CreditTransfer,
    SepaError,
    bic,
    grouped,
    iban,
    payload,
    read_payload,
    reference,
    reference_of,
    references_in,
)
from bots.domain.money import Money
from bots.payments.providers.bank import qr_png, qr_svg, reference_for

RED_CROSS = CreditTransfer(
    "Red Cross of Belgium", "BE72000000001616", Money(100, "EUR"), "BPOTBEB1", text="Urgency fund"
)
"""The example of EPC069-12, with the text in place of the purpose."""


@pytest.mark.parametrize(
    "text",
    [
        "DE89 3704 0044 0532 0130 00",
        "gb29nwbk60161331926819",
        "FR1420041010050500013M02606",
        "MT84MALT011000012345MTLCAST001S",
        "NO9386011117947",
        "SA0380000000608010167519",
    ],
)
def test_ibans_of_the_registry(text: str) -> None:
    assert iban(text) == "".join(text.split()).upper()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("DE89 3704 0044 0532 0130 01", "iban.check"),
        ("DE98 3704 0044 0532 0130 00", "iban.check"),
        ("DE89 3704 0044 0532 0130 0", "iban.length"),
        ("8937", "iban.malformed"),
        ("", "iban.malformed"),
        ("ＤＥ89370400440532013000", "iban.malformed"),
        ("DE89370400440532013٠00", "iban.malformed"),
    ],
)
def test_what_is_no_iban(text: str, code: str) -> None:
    with pytest.raises(SepaError) as caught:
        iban(text)
    assert caught.value.code == code
    assert caught.value.human


@given(st.integers(0, 21), st.integers(0, 9))
def test_one_changed_digit_is_noticed(place: int, digit: int) -> None:
    good = "DE89370400440532013000"
    changed = good[:place] + str(digit) + good[place + 1 :]
    if changed == good or place < 2:
        return
    with pytest.raises(SepaError):
        iban(changed)


def test_bic() -> None:
    assert bic("cobadeffxxx") == "COBADEFFXXX"
    for wrong in ("COBADEF", "C0BADEFF", "COBADEFFXX", "ＣOBADEFF"):
        with pytest.raises(SepaError):
            bic(wrong)


def test_reference_of_the_standard() -> None:
    assert reference_of("539007547034") == "RF18539007547034"
    assert reference("RF18 5390 0754 7034") == "RF18539007547034"
    assert grouped("RF18539007547034") == "RF18 5390 0754 7034"


@pytest.mark.parametrize("wrong", ["RF19539007547034", "RF18", "539007547034", "RF1853900754703400000000000"])
def test_what_is_no_reference(wrong: str) -> None:
    with pytest.raises(SepaError):
        reference(wrong)


@given(
    st.text("ABCDEFGHJKMNPQRSTVWXYZ0123456789", min_size=12, max_size=12), st.text(max_size=40), st.text(max_size=40)
)
def test_a_reference_is_found_in_any_text(body: str, before: str, after: str) -> None:
    made = reference_of(body)
    assert reference(made) == made
    assert made in references_in(f"{before} {grouped(made)} {after}")
    assert made in references_in(f"{before}{made[:9]}\n{made[9:].lower()}{after}")


def test_texts_without_a_reference() -> None:
    assert references_in("invoice RF19539007547034 for RF") == ()
    assert references_in("RF185390075470") == ()
    both = f"{reference_for('one')} and {reference_for('two')}"
    assert set(references_in(both)) == {reference_for("one"), reference_for("two")}


def test_payload_in_the_order_of_the_guideline() -> None:
    assert payload(RED_CROSS).split("\n") == [
        *("BCD", "002", "1", "SCT", "BPOTBEB1", "Red Cross of Belgium", "BE72000000001616", "EUR1.00", "", ""),
        "Urgency fund",
    ]
    with_reference = CreditTransfer("Rialto", "DE89370400440532013000", Money(5, "EUR"), reference="RF18539007547034")
    assert payload(with_reference).split("\n")[4:] == [
        *("", "Rialto", "DE89370400440532013000", "EUR0.05", "", "RF18539007547034")
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 71},
        {"name": "two\nlines"},
        {"iban": "BE72000000001617"},
        {"amount": Money(0, "EUR")},
        {"amount": Money(100_000_000_000, "EUR")},
        {"amount": Money(100, "USD")},
        {"text": "x" * 141},
        {"text": "x", "reference": "RF18539007547034"},
        {"text": "", "reference": "RF19539007547034"},
        {"purpose": "toolong"},
        {"information": "x" * 71},
        {"bic": "NOBIC"},
    ],
)
def test_transfers_that_cannot_be(change: dict[str, object]) -> None:
    fields = {"name": "Rialto", "iban": "BE72000000001616", "amount": Money(100, "EUR"), **change}
    with pytest.raises(SepaError):
        CreditTransfer(**fields)  # type: ignore[arg-type]


def test_too_much_text_for_the_code() -> None:
    with pytest.raises(SepaError) as caught:
        payload(CreditTransfer("ö" * 70, "BE72000000001616", None, text="ö" * 140))
    assert caught.value.code == "epc.size"


plain = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=20)


@given(plain, st.one_of(st.none(), st.integers(1, 99_999_999_999)), st.one_of(st.just(""), plain), st.booleans())
def test_what_is_written_is_read(name: str, minor: int | None, text: str, with_reference: bool) -> None:
    transfer = CreditTransfer(
        name,
        "DE89370400440532013000",
        None if minor is None else Money(minor, "EUR"),
        reference="RF18539007547034" if with_reference else "",
        text="" if with_reference else text,
    )
    assert read_payload(payload(transfer)) == transfer


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(SepaError):
        read_payload(text)


@given(st.lists(st.text(max_size=8), min_size=3, max_size=9))
def test_damaged_codes_are_refused_or_whole(rest: list[str]) -> None:
    try:
        found = read_payload("\n".join(["BCD", "002", "1", "SCT", *rest]))
    except SepaError:
        return
    assert read_payload(payload(found)) == found


def test_the_image_holds_the_payload() -> None:
    import io

    import zxingcpp
    from PIL import Image

    text = payload(RED_CROSS)
    image = Image.open(io.BytesIO(qr_png(text)))
    found = zxingcpp.read_barcodes(image)
    assert [one.text for one in found] == [text]
    assert found[0].ec_level == "M"
    assert qr_svg(text).startswith("<svg")
