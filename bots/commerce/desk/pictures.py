"""Pictures of products: photos that staff send."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from appservice.media import MediaError, MediaMissing, MediaTooLarge
from bots.commerce.desk.base import refused
from bots.commerce.desk.goods import Goods
from bots.commerce.desk.photos import BYTES_MAX, redrawn
from bots.domain.catalogue import IMAGES_MAX, CatalogueError, Product
from bots.domain.merchants import Merchant, Staff
from bots.framework import Context, Rest, command
from bots.framework.i18n import _

WAITS: Final = timedelta(minutes=15)
WANTED: Final = "desk.photo"


class Pictures(Goods):
    """The commands about pictures, for the plugin to inherit."""

    @command("photo", help=_("Staff room: a picture: photo Margherita, then send it"), hidden=True)
    async def desk_photo(self, ctx: Context, name: Rest) -> None:
        """Give a product a picture: “photo Margherita”, then send the photo; or send it with the name as its caption.
        “photo Margherita none” takes all its pictures away."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        words, _space, last = name.strip().rpartition(" ")
        if words and last.casefold() in {"none", ctx.t("none").casefold()}:
            found = await self.desk_product_named(ctx, merchant, words)
            if found is not None and found.product is not None:
                self.desk.shelf.put(ctx, merchant.id, replace(found.product, images=()))
                ctx.say(ctx.t("{name} has no picture now.", name=found.product.name))
            return
        found = await self.desk_product_named(ctx, merchant, name)
        if found is not None and found.product is not None:
            ctx.member_state.set(WANTED, found.product.key, ttl=WAITS)
            ctx.say(
                ctx.t(
                    "Send the photo of {name} now. Product pictures are public: everybody who has their address can "
                    "see them.",
                    name=found.product.name,
                )
            )

    async def desk_picture(self, ctx: Context, merchant: Merchant) -> bool:
        """A photo in the staff room: whether it was for a product."""
        wanted = await ctx.member_state.get(WANTED, "", as_=str)
        caption = caption_of(ctx.content)
        if not wanted and not caption:
            return False
        product, told = await self._desk_pictured(ctx, merchant, wanted, caption)
        if product is None:
            return told
        if await self.at_desk(ctx, Staff.MANAGER) is None:
            return True
        size = said_size(ctx.content)
        if size is not None and size > BYTES_MAX:
            self._desk_too_large(ctx)
            return True
        try:
            data = await ctx.services.media.download(ctx.user_id, ctx.content, limit=BYTES_MAX)
            if len(data) > BYTES_MAX:  # whatever the homeserver thinks of limits
                raise MediaTooLarge("the picture is too large", limit=BYTES_MAX)
            drawn, mimetype = await asyncio.to_thread(redrawn, data)
            stored = await ctx.services.media.upload(ctx.user_id, drawn, mimetype, encrypted=False)
            after = replace(product, images=(*product.images, str(stored.content["url"])))
        except MediaTooLarge:
            self._desk_too_large(ctx)
        except MediaMissing:
            ctx.say(ctx.t("The picture is not there any more. Please send it again."))
        except MediaError:
            ctx.say(ctx.t("That is no picture that everybody can see: please send a JPEG, PNG, WebP, GIF or AVIF."))
        except CatalogueError as error:
            ctx.say(refused(error, ctx))
        else:
            ctx.member_state.delete(WANTED)
            self.desk.shelf.put(ctx, merchant.id, after, before=product)
            ctx.say(
                ctx.t(
                    "{name} has this picture now ({count} of {most}). It is public; place and camera were taken out.",
                    name=product.name,
                    count=len(after.images),
                    most=IMAGES_MAX,
                )
            )
        return True

    async def _desk_pictured(
        self, ctx: Context, merchant: Merchant, wanted: str, caption: str
    ) -> tuple[Product | None, bool]:
        """The product that a photo is of, and whether the person was told that it is unclear."""
        if caption:
            found = await self.desk_meant(ctx, merchant, caption)
            if found.product is not None:
                return found.product, False
            if not wanted:
                if found.near:
                    names = list(found.near)
                    ctx.say(ctx.t("There is no “{name}”. Did you mean {names}?", name=caption[:60], names=names))
                return None, bool(found.near)
        return await self.desk.shelf.product(ctx, merchant.id, wanted), False

    def _desk_too_large(self, ctx: Context) -> None:
        ctx.say(ctx.t("That picture is too large: please send one of up to {most} MB.", most=BYTES_MAX // 1024 // 1024))


def caption_of(content: Mapping[str, Any]) -> str:
    """What is written under a picture: its body, where that is not its name (specification, "Media captions")."""
    body, name = content.get("body"), content.get("filename")
    return body.strip()[:200] if isinstance(body, str) and isinstance(name, str) and body != name else ""


def said_size(content: Mapping[str, Any]) -> int | None:
    """The bytes that a message says its file has."""
    info = content.get("info")
    size = info.get("size") if isinstance(info, Mapping) else None
    return size if isinstance(size, int) and not isinstance(size, bool) else None
