"""What messages are made of: pure functions that return the content of a Matrix event.

Every content has a complete plain ``body``, and mentions nobody unless it is told to.
"""

from appservice.media import AudioInfo, ImageInfo, describe_audio, describe_image
from bots.framework.content.characters import clean
from bots.framework.content.errors import ContentError, ContentTooLong
from bots.framework.content.escaping import (
    Safe,
    code,
    code_block,
    escaped,
    link,
    maths,
    mention,
    mention_room,
    safe,
    spoiler,
)
from bots.framework.content.files import audio, file, image, video, voice
from bots.framework.content.locations import GeoPoint, Location, location, parse_geo_uri, parse_location
from bots.framework.content.polls import (
    POLL_END,
    POLL_ENDS,
    POLL_RESPONSE,
    POLL_RESPONSES,
    POLL_START,
    POLL_STARTS,
    Answer,
    Poll,
    Vote,
    count_votes,
    parse_poll,
    parse_poll_reference,
    parse_poll_response,
    poll,
    poll_end,
    poll_response,
    poll_start,
)
from bots.framework.content.relations import (
    in_thread,
    mentioning,
    replacement,
    reply_to,
    strip_reply_fallback,
    strip_reply_fallback_html,
)
from bots.framework.content.sanitising import sanitise
from bots.framework.content.texts import html, markdown, text

__all__ = [
    "POLL_END",
    "POLL_ENDS",
    "POLL_RESPONSE",
    "POLL_RESPONSES",
    "POLL_START",
    "POLL_STARTS",
    "Answer",
    "AudioInfo",
    "ContentError",
    "ContentTooLong",
    "GeoPoint",
    "ImageInfo",
    "Location",
    "Poll",
    "Safe",
    "Vote",
    "audio",
    "clean",
    "code",
    "code_block",
    "count_votes",
    "describe_audio",
    "describe_image",
    "escaped",
    "file",
    "html",
    "image",
    "in_thread",
    "link",
    "location",
    "markdown",
    "maths",
    "mention",
    "mention_room",
    "mentioning",
    "parse_geo_uri",
    "parse_location",
    "parse_poll",
    "parse_poll_reference",
    "parse_poll_response",
    "poll",
    "poll_end",
    "poll_response",
    "poll_start",
    "replacement",
    "reply_to",
    "safe",
    "sanitise",
    "spoiler",
    "strip_reply_fallback",
    "strip_reply_fallback_html",
    "text",
    "video",
    "voice",
]
