"""Cards: an offer, or the trip that a driver has, with what they can do now, as numbers, words and reactions.

A card is no open question: what an answer means is decided by how things stand when it comes, so that an old card does
nothing that is not to be done any more. The last one is remembered for its number and its reactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bots.domain.drivers import Driver
from bots.framework import Context, Key
from bots.framework import content as contents
from bots.framework.choices import (
    ChoicePrompt,
    NoMatch,
    Option,
    Picked,
    match_reaction,
    match_structured,
    match_text,
    render,
)
from bots.framework.i18n import Translator, fold
from bots.rides.driving.base import DrivingBase

__all__ = ["CARD", "JOB", "OFFER", "Card", "Cards"]

OFFER: Final = "offer"
JOB: Final = "job"


@dataclass(frozen=True, slots=True)
class Card:
    """The last card that a driver was shown.

    Attributes:
        what: :data:`OFFER` or :data:`JOB`; ``id``: of the offer, or of the trip.
        reference: of the message.
    """

    what: str
    id: str
    reference: str


CARD: Final = Key("driving.card", Card, default=None, secret=True)


class Cards(DrivingBase):
    """Cards and their answers, for the parts of the driver's side to inherit."""

    def card_content(
        self, say: Translator, question: str, options: Sequence[Option]
    ) -> tuple[dict[str, Any], Sequence[str]]:
        """A card's message, and the reactions under it."""
        rendered = render(ChoicePrompt(question, options), say)
        content = {
            **contents.text(rendered.body, notice=False),
            "format": "org.matrix.custom.html",
            "formatted_body": rendered.html,
            **rendered.content,
        }
        return content, rendered.reactions

    async def show_card(
        self,
        ctx: Context,
        driver: Driver,
        card: tuple[str, str],
        question: str,
        options: Sequence[Option],
        key: str = "",
    ) -> None:
        """Send a card into a driver's chat; it rings.

        Args:
            card: what it is about, and its id.
            key: of the message, where it is to be found again.
        """
        say = await self.driver_words(ctx, driver.person)
        content, reactions = self.card_content(say, question, options)
        reference = ctx.send(content, room_id=driver.room_id, key=key or None)
        for number, reaction in enumerate(reactions):
            ctx.react(reaction, reference, room_id=driver.room_id, key=f"{key}:r{number}" if key else None)
        ctx.states.user(driver.person).set(CARD, Card(*card, reference))

    def close_card(self, ctx: Context, driver: Driver, reference: str, words: str) -> None:
        """Put what became of it in the place of a card, so that nobody answers it any more."""
        content = {**contents.text(words), "m.mentions": {}}
        ctx.edit(reference, content, room_id=driver.room_id)

    # Answers

    async def driver_said(self, ctx: Context) -> bool:
        """Whether a text was an answer to a driver's card; it is done then."""
        driver = await self.driver_here(ctx)
        card = None if driver is None else await ctx.user_state.get(CARD)
        if driver is None or card is None:
            return False
        options = await self.card_options(ctx, driver, card)
        number = ctx.text.strip().lstrip("#").rstrip(".)").isdecimal()
        if not options:
            return await self._number_to_nothing(ctx, driver, card) if number else False
        prompt = ChoicePrompt("-", options, id=card.reference)
        match = match_structured(prompt, ctx.content) or match_text(prompt, ctx.text, ctx.translator)
        await self.fleet.drivers.heard(ctx, driver.person)
        if isinstance(match, Picked) and (number or "app.rialto.choice" in ctx.content or _named(prompt, ctx.text)):
            await self.card_chosen(ctx, driver, card, match.values[0])
            return True
        if number:
            await self.card_again(ctx, driver, card)
        return number

    async def _number_to_nothing(self, ctx: Context, driver: Driver, card: Card) -> bool:
        """A number of a card whose time is over: who has something to do sees that."""
        if not driver.trip and not driver.offer:
            return False
        await self.card_again(ctx, driver, card)
        return True

    async def driver_reacted(self, ctx: Context, key: str, event_id: str) -> bool:
        """Whether a reaction was an answer to a driver's card; it is done then."""
        driver = await self.driver_here(ctx)
        card = None if driver is None else await ctx.user_state.get(CARD)
        if driver is None or card is None:
            return False
        if (await ctx.event_ids([card.reference])).get(card.reference) != event_id:
            return False
        options = await self.card_options(ctx, driver, card)
        match = match_reaction(ChoicePrompt("-", options), key) if options else NoMatch()
        if not isinstance(match, Picked):
            return False
        await self.card_chosen(ctx, driver, card, match.values[0])
        return True

    async def card_options(self, ctx: Context, driver: Driver, card: Card) -> Sequence[Option]:
        """What can be done by a card as things stand; empty: nothing."""
        raise NotImplementedError

    async def card_chosen(self, ctx: Context, driver: Driver, card: Card, value: str) -> None:
        """Do what was chosen."""
        raise NotImplementedError

    async def card_again(self, ctx: Context, driver: Driver, card: Card) -> None:
        """Show how things stand: a number was none of the card's."""
        raise NotImplementedError


def _named(prompt: ChoicePrompt, text: str) -> bool:
    """Whether a text is a label in full: what people write to a rider begins with the same letters as much else."""
    said = fold(text)
    return any(said in map(fold, (option.label, *option.aliases)) for option in prompt.options)
