"""The staff room on a real Synapse: encrypted files and photos, cards answered by reactions, staff that goes."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from tests.e2e.test_commerce_shop import Talk, opens, operator, service, talk
from tests.support.fixtures import NewHuman
from tests.support.human import Human
from tests.support.purse import Purse
from tests.support.servers import RialtoProcess

__all__ = ["operator", "service"]

pytestmark = pytest.mark.timeout(300)

MENU = "name,price,tax,stock\nSpade,31.00,19%,5\nمجرفة,12.50,19%,unlimited\n"


def photo() -> bytes:
    """A picture that says where it was taken."""
    exif = Image.Exif()
    exif[0x010F] = "A camera of mine"
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (180, 120, 60)).save(out, "JPEG", exif=exif)
    return out.getvalue()


async def test_what_the_staff_does(
    service: RialtoProcess,
    operator: Human,
    alice: Human,
    bob: Human,
    new_human: NewHuman,
) -> None:
    shop, wallet = service.bot("shop"), service.bot("wallet")
    staff = await opens(bob, await talk(operator, shop), "Spades", ("Spade", "30", "2"))
    room = staff.room

    # An encrypted file: shown, then done. An encrypted photo becomes a public picture, drawn anew.
    shown = staff.hears("1 new product")
    await bob.send_image(room, MENU.encode(), "menu.csv")
    assert "1 changed: Spade" in await shown
    await staff.says(("do it", "“undo import” takes it back"), ("photo Spade", "public"))
    kept = staff.hears("Spade has this picture now")
    await bob.send_image(room, photo(), "photo.jpg")
    await kept

    # All of it is given out again, in a file that is encrypted.
    table = bob.expect(room, sender=shop, body="spades.csv")
    await bob.say(room, "export")
    seen = await table
    assert seen.encrypted
    written = (await bob.download(seen.content)).decode("utf-8-sig")
    assert "مجرفة" in written
    picture = re.search(r"mxc://[A-Za-z0-9.:-]+/[A-Za-z0-9_-]+", written)
    assert picture is not None
    data = await alice.download_mxc(picture[0])
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (64, 48)
    assert b"camera of mine" not in data

    purse = await Purse.open(alice, wallet)
    await purse.tops_up("50 EUR")
    chat = await talk(alice, shop)
    await chat.says(("search spade", "Spade"), ("1", "€31.00"))

    # An order, handled by reactions to its cards; a clerk who leaves the staff is out of the room.
    await chat.says(("into the cart", "In the cart: 1 × Spade"), ("check out", "1 × Spade: €31.00"))
    asked = purse.hears("€31.00")
    await chat.says(("1", "payment"))
    came = bob.expect(room, sender=shop, contains="A new order has come in.")
    await purse.confirms(await asked, "€31.00")
    card = await came
    assert card.encrypted
    told = chat.hears("Tell them this PIN")
    for key, state in (("✅", "accepted"), ("🔔", "ready")):
        done = bob.expect(room, sender=shop, contains=f": {state} (")
        await bob.react(room, card.event_id, key)
        card = await done
    # Who fetches it tells a PIN, which a reaction cannot hold.
    pin = re.search(r"this PIN: (\d{4})", await told)
    assert pin is not None
    asked_pin = bob.expect(room, sender=shop, contains="Which PIN does the buyer of order")
    await bob.react(room, card.event_id, "📦")
    await asked_pin
    await staff.says((pin[1], ": delivered ("))
    carol = await new_human("carol")
    await staff.says((f"staff add {carol.id}", "works here now"))
    await carol.join(await carol.expect_invite(shop))
    clerk = Talk(carol, room, shop)
    await clerk.says(("!price Spade 1", "Only who is manager or above"), ("!stock Spade 7", "7 there"))
    gone = bob.expect_member(room, carol.id, "leave")
    await staff.says((f"!staff remove {carol.id}", "works here no longer"))
    await gone

    # The day in figures.
    chart = bob.expect(room, sender=shop, predicate=lambda each: each.msgtype == "m.image")
    await staff.says(("report", "1 order taken: €31.00"))
    assert (await bob.download((await chart).content)).startswith(b"\x89PNG")
    assert b"camera of mine" not in service.everything_written()
