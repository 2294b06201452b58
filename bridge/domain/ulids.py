"""ULIDs: ids that sort by the time they were made (https://github.com/ulid/spec)."""

from __future__ import annotations

from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ENTROPY_BYTES: Final = 10


def ulid(moment: int, entropy: bytes) -> str:
    """The ULID of a time (ms since the epoch) and 10 random bytes: 26 characters."""
    if len(entropy) != ENTROPY_BYTES or not 0 <= moment < 2**48:
        raise ValueError(f"a ULID takes a time of 48 bits and {ENTROPY_BYTES} bytes")
    number = moment << 80 | int.from_bytes(entropy)
    return "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
