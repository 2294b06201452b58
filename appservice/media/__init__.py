"""Media of the homeserver: fetched and stored as a bot, encrypted on the way, described by their bytes."""

from appservice.media.audio import AudioInfo, describe_audio
from appservice.media.errors import MediaChanged, MediaError, MediaMissing, MediaTooLarge
from appservice.media.images import ImageInfo, Thumbnail, describe_image
from appservice.media.memory import Memory
from appservice.media.repository import MAX_BYTES, MEMORY, Media, Upload

__all__ = [
    "MAX_BYTES",
    "MEMORY",
    "AudioInfo",
    "ImageInfo",
    "Media",
    "MediaChanged",
    "MediaError",
    "MediaMissing",
    "MediaTooLarge",
    "Memory",
    "Thumbnail",
    "Upload",
    "describe_audio",
    "describe_image",
]
