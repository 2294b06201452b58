"""What can go wrong with encryption, as the rest of Rialto sees it."""

from __future__ import annotations

from appservice.errors import RialtoError


class CryptoStartError(RialtoError):
    """Encryption cannot start and trying again will not help. ``code`` says why; ``docs/keys.md`` says what to do."""

    def __init__(self, code: str, human: str, **fields: object) -> None:
        super().__init__(human, **fields)
        self.code = code


class CryptoNotReady(RialtoError):
    """The bot has no device (yet), or the devices in the room keep changing: try again later."""

    code = "crypto_not_ready"


class KeyMissing(RialtoError):
    """The event's Megolm session is not here (yet).

    Attributes:
        session_id, room_id, sender: which session, and who made it.
        withheld: the ``m.room_key.withheld`` code and reason, when the sender's device said that it will not send it.
    """

    code = "key_missing"

    def __init__(self, session_id: str, room_id: str, sender: str, withheld: str | None = None) -> None:
        human = "the key of this message is not here"
        if withheld:
            human = f"the sender's device withholds the key of this message ({withheld})"
        super().__init__(human, session_id=session_id, room_id=room_id, sender=sender, withheld=withheld)
        self.session_id = session_id
        self.room_id = room_id
        self.sender = sender
        self.withheld = withheld


class DecryptionFailed(RialtoError):
    """The event can never be read: malformed, forged, replayed, or of another room. ``reason`` says which."""

    code = "decryption_failed"

    def __init__(self, reason: str, human: str, **fields: object) -> None:
        super().__init__(human, reason=reason, **fields)
        self.reason = reason


class AttachmentError(RialtoError):
    """An encrypted attachment cannot be read: its description is malformed or the bytes were changed."""

    code = "attachment_unreadable"
