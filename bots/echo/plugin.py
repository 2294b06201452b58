"""The echo bot."""

from __future__ import annotations

from bots.framework import Context, Plugin, edited, media, message, redacted


class Echo(Plugin):
    """Answers text with the same text, media with the same media, and follows edits and redactions."""

    summary = "Repeats what you say: an example for developers."

    @message
    async def text(self, ctx: Context) -> None:
        """The same text."""
        ctx.send({"msgtype": "m.notice", "body": ctx.text})

    @media
    async def media(self, ctx: Context) -> None:
        """The same bytes, fetched, decrypted, encrypted anew and stored anew."""
        await ctx.send_media(await ctx.download(), ctx.content)

    @edited
    async def edited(self, ctx: Context, event_id: str) -> None:
        """The echo of an edited message becomes the echo of the new text."""
        ctx.edit(ctx.answer_to(event_id), {"msgtype": "m.notice", "body": ctx.text})

    @redacted
    async def redacted(self, ctx: Context, event_id: str) -> None:
        """The echo of a redacted message goes with it."""
        ctx.redact(ctx.answer_to(event_id))
