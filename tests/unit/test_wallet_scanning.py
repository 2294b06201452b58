"""Requests as QR codes: made, photographed, typed, paid once."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock, Mock

import pytest
from PIL import Image

from bots.domain.money import Money
from bots.framework.testing import Person
from bots.framework.testing.homeserver import Message
from bots.wallet import codes, scanning
from bots.wallet.paying import Paying
from tests.support.money import MoneyWorld, code_in


@pytest.fixture
async def world() -> AsyncIterator[MoneyWorld]:
    """A world in which Bob sells coffee, and Alice and Carol buy it."""
    made = MoneyWorld()
    await made.opened("bob")
    await made.owner("carol", "100")
    await made.opened("alice", "100")
    yield made
    await made.stop()


async def said(person: Person, text: str) -> str:
    """What the wallet says to somebody alone."""
    await person.says(text)
    return "\n".join(each.body for each in await person.hears_all())


async def made(bob: Person, text: str = "qr 5 EUR for coffee") -> tuple[bytes, str]:
    """The picture, and the token under it."""
    await bob.says(text)
    picture, words = await bob.hears_all()
    assert picture.content["msgtype"] == "m.image"
    token = token_in(words)
    assert f"https://matrix.to/#/@wallet:world?action=pay&token={token}" in words.body
    return await bob.downloads(picture), token


def token_in(words: Message) -> str:
    """What can be typed instead of scanning."""
    return words.body.partition("type to me: pay ")[2].split()[0]


async def scanned(person: Person, picture: bytes) -> list[Message]:
    """Send a photo to the wallet."""
    await person.sends_photo(picture)
    return await person.hears_all()


async def test_a_photo_is_paid(world: MoneyWorld) -> None:
    alice, bob = world.user("alice"), world.user("bob")
    picture, _token = await made(bob)
    photo = Image.new("RGB", (1500, 1500), (90, 120, 100))
    photo.paste(Image.open(io.BytesIO(picture)).convert("RGB").resize((600, 600)), (300, 400))
    out = io.BytesIO()
    photo.save(out, "JPEG")
    question = (await scanned(alice, out.getvalue()))[-1]
    assert "You pay €5.00 to Bob (@bob:world).\nFor: coffee" in question.body
    assert await world.has(alice) == Money.of(100, "EUR"), "a photo pays nothing"
    assert "✅ Paid: €5.00" in await said(alice, code_in(question))
    assert "✅ Alice (@alice:world) has paid you €5.00." in (await bob.hears()).body
    world.check()


@pytest.mark.parametrize("way", ["pay {}", "{}", "https://matrix.to/#/@wallet:world?action=pay&token={}"])
async def test_a_token_or_a_link_is_paid(world: MoneyWorld, way: str) -> None:
    alice = world.user("alice")
    _picture, token = await made(world.user("bob"))
    await alice.says(way.format(token))
    question = (await alice.hears_all())[-1]
    assert "✅ Paid: €5.00" in await said(alice, code_in(question))
    world.check()


async def test_scanning_twice_pays_once(world: MoneyWorld) -> None:
    alice, carol = world.user("alice"), world.user("carol")
    picture, token = await made(world.user("bob"))
    first = (await scanned(alice, picture))[-1]
    second = (await scanned(alice, picture))[-1]
    assert "newer code" in await said(alice, code_in(first))
    await said(alice, code_in(second))
    again = (await scanned(alice, picture))[-1].body
    assert "This has been paid already: €5.00 to Bob (@bob:world)." in again
    assert token in again, "with the receipt"
    assert "used by somebody else already" in await said(carol, f"pay {token}")
    assert await world.has(alice) == Money.of(95, "EUR")
    assert await world.has(carol) == Money.of(100, "EUR")
    world.check()


async def test_who_scans_first_is_the_payer(world: MoneyWorld) -> None:
    alice, carol = world.user("alice"), world.user("carol")
    _picture, token = await made(world.user("bob"))
    await said(alice, token)
    assert "Somebody else is paying this already" in await said(carol, token)
    world.check()


async def test_one_s_own_code(world: MoneyWorld) -> None:
    bob = world.user("bob")
    picture, token = await made(bob)
    assert "your own request" in await said(bob, token)
    assert "your own request" in (await scanned(bob, picture))[-1].body


async def test_it_can_be_taken_back_and_ends(world: MoneyWorld) -> None:
    alice, bob = world.user("alice"), world.user("bob")
    _picture, token = await made(bob)
    assert "whoever scans the code" in await said(bob, "requests")
    await said(bob, "cancel 1")
    assert "taken back or declined" in await said(alice, token)
    _picture, late = await made(bob)
    await world.pass_time(days=7, seconds=1)
    assert "Nobody has scanned your code for €5.00 in time." in (await bob.hears()).body
    assert "time for this has passed" in await said(alice, late)
    world.check()


async def test_more_than_one_has(world: MoneyWorld) -> None:
    _picture, token = await made(world.user("bob"), "qr 500 EUR")
    assert "€400.00 is missing" in await said(world.user("alice"), token)
    assert "To confirm" not in await said(world.user("carol"), token), "she has no more, and may try"
    world.check()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("qr", "How much?"),
        ("qr 5 GBP", "not GBP"),
        ("qr 5 EUR from @alice", "“request” asks somebody"),
        ("pay 01ARZ3NDEKTSV4RRFFQ69G5FAV", "leads to no request"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "leads to no request"),
    ],
)
async def test_what_is_refused(world: MoneyWorld, text: str, why: str) -> None:
    assert why in await said(world.user("bob"), text)
    world.check()


async def test_pictures_without_a_request(world: MoneyWorld) -> None:
    alice = world.user("alice")
    assert "I see no code" in (await scanned(alice, _blank()))[-1].body
    assert "no request for money" in (await scanned(alice, codes.picture_of("https://example.org")))[-1].body
    bank = codes.picture_of("BCD\n002\n1\nSCT\n\nBob\nDE89370400440532013000\nEUR5")
    assert "for a bank's app" in (await scanned(alice, bank))[-1].body
    assert "cannot read this picture" in (await scanned(alice, b"no picture"))[-1].body
    _one, first = await made(world.user("bob"))
    _two, second = await made(world.user("bob"))
    both = Image.new("RGB", (1400, 700), "white")
    for place, token in enumerate((first, second)):
        link = codes.link_of("@wallet:world", token)
        both.paste(
            Image.open(io.BytesIO(codes.picture_of(link))).convert("RGB").resize((600, 600)), (50 + place * 700, 50)
        )
    out = io.BytesIO()
    both.save(out, "PNG")
    assert "several codes" in (await scanned(alice, out.getvalue()))[-1].body
    world.check()


async def test_pictures_among_people_are_not_looked_at(world: MoneyWorld) -> None:
    alice, bob = world.user("alice"), world.user("bob")
    picture, _token = await made(bob)
    room = await world.room("flat", alice, bob)
    await world.quiet(room, alice)
    await alice.sends_photo(picture, room=room)
    await alice.hears_nothing(room)
    await alice.hears_nothing()
    world.check()


async def test_a_code_shown_to_a_group(world: MoneyWorld) -> None:
    alice, bob = world.user("alice"), world.user("bob")
    room = await world.room("flat", alice, bob)
    await world.quiet(room, alice)
    await bob.says("!qr 5 EUR for coffee", room=room)
    words = (await alice.hears_all(room))[-1]
    await alice.says(f"!pay {token_in(words)}", room=room)
    assert (await alice.hears(room)).body == "✓ I have answered you in our own chat."
    await said(alice, code_in(*await alice.hears_all()))
    told = [each.body for each in await bob.hears_all(room)]
    assert told[-1] == "✓ Alice (@alice:world) has paid Bob (@bob:world)."
    assert "100" not in "\n".join(told)
    world.check()


def _blank() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (300, 300), (10, 200, 30)).save(out, "PNG")
    return out.getvalue()


async def test_pictures_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2)
    met: list[bool] = []

    def texts_in(_picture: bytes) -> list[str]:
        try:
            together.wait(timeout=0.5)
        except threading.BrokenBarrierError:
            return []
        met.append(True)
        return []

    async def yes(_ctx: object) -> bool:
        return True

    monkeypatch.setattr(codes, "texts_in", texts_in)
    monkeypatch.setattr(scanning, "alone", yes)
    monkeypatch.setattr(scanning, "aside", AsyncMock(return_value=Mock()))
    means = Mock()
    reader = scanning.Scanning(means, Paying(means))
    await asyncio.gather(*(reader.photo(Mock(download=AsyncMock(return_value=b"x"))) for _ in range(2)))
    assert not met
