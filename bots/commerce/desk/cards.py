"""Orders as cards in the staff room: what can be done with each, and which of that an answer means.

A card is answered by a reaction, by a reply with a number or a word, by a button of Rialto's own clients, or by a
command. What an answer means is decided by the order as it stands, not by the card: an old card does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from bots.commerce.telling import staff_card
from bots.domain.orders import NEXT, Action, Fulfilment, Order, OrderState
from bots.framework import Context, Key, Option, choices
from bots.framework import content as contents
from bots.framework.choices import ChoicePrompt
from bots.framework.choices.text import fold_key
from bots.framework.i18n import Translator, _

__all__ = [
    "DOES",
    "STAFF_STATES",
    "actions_of",
    "card_of",
    "meant_before",
    "prompt_of",
    "put_card",
    "show_card",
    "which",
]

CARDS: Final = Key("desk.cards", list[list[str]], default=[])
"""The last cards of a staff room: the references of the messages, with the ids of their orders."""
CARDS_MAX: Final = 300
REACTIONS_MAX: Final = 6

DOES: Final[Mapping[str, tuple[Action, str, str]]] = MappingProxyType(
    {
        "accept": (Action.ACCEPT, _("Accept"), "✅"),
        "reject": (Action.REJECT, _("Reject"), "❌"),
        "amend": (Action.AMEND, _("Something is missing"), "✏️"),
        "ready": (Action.MAKE_READY, _("Ready"), "🔔"),
        "dispatch": (Action.DISPATCH, _("On its way"), "🚚"),
        "delivered": (Action.DELIVER, _("Delivered"), "📦"),
        "failed": (Action.FAIL, _("Could not be handed over"), "⚠️"),
        "again": (Action.TRY_AGAIN, _("Try again"), "🔁"),
        "back": (Action.BRING_BACK, _("It has come back"), "↩️"),
        "call off": (Action.CALL_OFF, _("Call off"), "🚫"),
    }
)
"""What staff do with an order: by its word the action, how it is called, and the reaction for it."""

STAFF_STATES: Final = (
    OrderState.PAID, OrderState.AMENDED, OrderState.ACCEPTED, OrderState.READY, OrderState.DISPATCHED,
    OrderState.FAILED,
)  # fmt: skip
"""In which an order is the staff's affair."""


def actions_of(order: Order) -> list[str]:
    """What staff can do with an order as it stands, by its words; what is not for its way of delivery is left out."""
    found = [word for word, (action, _label, _key) in DOES.items() if (order.state, action) in NEXT]
    kind = order.delivery.kind
    if kind in {Fulfilment.PICKUP, Fulfilment.DIGITAL}:
        found = [word for word in found if word != "dispatch"]
    elif order.state is OrderState.READY:
        # What is brought is on its way before it is there.
        found = [word for word in found if word != "delivered"]
    return found


def prompt_of(order: Order, words: Translator) -> ChoicePrompt | None:
    """What can be done with an order, to be chosen; None: nothing."""
    found = actions_of(order)
    if not found:
        return None
    options = [
        Option(word.replace(" ", "-"), words.t(label), key=key, aliases=(word,))
        for word in found
        for _action, label, key in (DOES[word],)
    ]
    return ChoicePrompt(words.t("What now with order {number}?", number=order.number), options, id=order.id)


async def show_card(
    ctx: Context, order: Order, room_id: str, words: Translator, before: str = "", *, rings: bool = False
) -> None:
    """Send the card of an order into its staff room, and remember which message it is.

    Args:
        before: a line above it.
        rings: clients ring for it.
    """
    text = staff_card(order, words)
    text = f"{before}\n\n{text}" if before else text
    prompt = prompt_of(order, words)
    if prompt is None:
        ctx.say(text, room_id=room_id)
        return
    hint = words.t(
        "Reply to this with a number, react, or write for example “{word} {number}”.",
        word=actions_of(order)[0],
        number=order.number,
    )
    keys = [DOES[word][2] for word in actions_of(order)[:REACTIONS_MAX]]
    await put_card(ctx, prompt, keys, text, room_id, words, hint=hint, rings=rings)


async def put_card(
    ctx: Context,
    prompt: ChoicePrompt,
    keys: Sequence[str],
    text: str,
    room_id: str,
    words: Translator,
    *,
    hint: str = "",
    rings: bool = False,
) -> None:
    """Send what can be done with something, and remember which message it is.

    Args:
        prompt: its ``id`` is what is remembered.
        keys: the reactions that are put under it.
        text: above the choice; the prompt's question where there is none.
    """
    rendered = choices.render(prompt, words)
    listed = "\n".join(f"{number}. {option.label}" for number, option in prompt.shown)
    body = "\n".join(part for part in (f"{text or prompt.question}\n", listed, hint) if part)
    reference = ctx.send({**contents.text(body, notice=not rings), **rendered.content}, room_id=room_id)
    for key in keys:
        ctx.react(key, reference, room_id=room_id)

    def remembered(cards: list[list[str]]) -> list[list[str]]:
        return [*cards, [reference, prompt.id]][-CARDS_MAX:]

    await ctx.states.room(room_id).update(CARDS, remembered)


async def card_of(ctx: Context, event_id: str) -> str:
    """The id of what a message in this room is the card of; empty: of nothing, or it is an old one."""
    shown = await ctx.states.room(ctx.room_id).get(CARDS)
    cards = {each[0]: each[1] for each in shown}
    known = await ctx.event_ids(cards)
    return next((order_id for reference, order_id in cards.items() if known.get(reference) == event_id), "")


def which(order: Order, words: Translator, *, text: str = "", reaction: str = "") -> str:
    """What an answer to a card means for the order as it stands: the word of an action, or nothing."""
    prompt = prompt_of(order, words)
    if prompt is None:
        return ""
    found = choices.match_reaction(prompt, reaction) if reaction else choices.match_text(prompt, text, words)
    return found.values[0].replace("-", " ") if isinstance(found, choices.Picked) else ""


def meant_before(reaction: str) -> str:
    """The action that a reaction stands for in whatever state; nothing when it is none of ours."""
    wanted = fold_key(reaction)
    return next((word for word, (_a, _l, key) in DOES.items() if fold_key(key) == wanted), "")
