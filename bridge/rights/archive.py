"""The archive of a person's data: a zip file with a JSON file for each thing that is held, and a table of contents."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from typing import Final

from appservice import json
from appservice.errors import RialtoError

MOST_BYTES: Final = 256 * 1024 * 1024
"""Of an archive, before it is compressed."""
README: Final = """\
This archive holds what Rialto holds about {person}, as of {at} (UTC).

contents.json lists the files. Each is JSON in UTF-8; its folder is the part of Rialto that holds it. Times are
milliseconds since 1970-01-01 UTC unless they are written out.

What is said in end-to-end encrypted chats is not in it: Rialto cannot read it. It is on your own devices.
"""


class ExportTooLarge(RialtoError):
    """There is more of a person than an archive holds."""

    code = "export_too_large"


class Archive:
    """Is written file by file, and closed at the end."""

    def __init__(self, person: str, now: int) -> None:
        self._person = person
        self._at = datetime.fromtimestamp(now / 1000, UTC)
        self._out = io.BytesIO()
        self._zip = zipfile.ZipFile(self._out, "w", zipfile.ZIP_DEFLATED)
        self._sizes: dict[str, int] = {}
        self._total = 0

    def admit(self, name: str, size: int) -> None:
        """Ask for room for a file.

        Raises:
            ExportTooLarge: there is none.
            ValueError: the name is used, or leads out of the archive.
        """
        if name in self._sizes or name.startswith("/") or ".." in name.split("/") or "\\" in name:
            raise ValueError(f"{name!r} cannot be in an archive")
        self._total += size
        if self._total > MOST_BYTES:
            raise ExportTooLarge("there is more than an archive holds", bytes=MOST_BYTES)
        self._sizes[name] = size

    def add(self, name: str, data: bytes) -> None:
        """Write a file that was admitted. Takes its time: not for the event loop."""
        info = zipfile.ZipInfo(name, self._at.timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        self._zip.writestr(info, data)

    def close(self) -> bytes:
        """The file as a whole."""
        contents = {"person": self._person, "made_at": self._at.isoformat(), "files": self._sizes}
        self.add("README.txt", README.format(person=self._person, at=f"{self._at:%Y-%m-%d %H:%M}").encode())
        self.add("contents.json", json.dumps(contents))
        self._zip.close()
        return self._out.getvalue()
