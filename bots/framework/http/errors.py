"""What can go wrong on the way to another service.

No error holds a path, a query or a header, which can hold secrets, nor anything of a URL that a person named. Of
services that the plugin named, ``origin`` (``https://api.example.org``) is a field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from appservice.errors import RialtoError
from bots.framework.i18n.translator import English, Translator

if TYPE_CHECKING:
    from bots.framework.http.client import HttpResponse


class HttpError(RialtoError):
    """The root of them."""

    code = "http_error"

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        super().__init__(self.explain(English()), **fields)

    def explain(self, translator: Translator) -> str:
        """What to tell people."""
        return translator.t("Another service could not be used.")


class HttpUnreachable(HttpError):
    """No connection, or it broke. ``kind`` is the name of the cause's class."""

    code = "http_unreachable"

    def explain(self, translator: Translator) -> str:
        """What to tell people."""
        return translator.t("Another service could not be reached. Please try again later.")


class HttpTimedOut(HttpError):
    """No whole answer in time, all attempts together."""

    code = "http_timed_out"

    def explain(self, translator: Translator) -> str:
        """What to tell people."""
        return translator.t("Another service did not answer in time. Please try again later.")


class HttpTooLarge(HttpError):
    """More bytes than asked for; ``limit`` is the number of bytes."""

    code = "http_too_large"

    def explain(self, translator: Translator) -> str:
        """What to tell people."""
        return translator.t("The answer of another service was too large.")


class HttpRefused(HttpError):
    """An answer with a status that was not expected.

    Attributes:
        response: the whole answer, for the plugin; not for logs.
        status: of the answer.
        retry_after: seconds that the service asks to wait, if it said so.
    """

    code = "http_refused"

    def __init__(self, response: HttpResponse, retry_after: float | None = None, **fields: Any) -> None:
        super().__init__(status=response.status, **fields)
        self.response = response
        self.status = response.status
        self.retry_after = retry_after

    def explain(self, translator: Translator) -> str:
        """What to tell people."""
        return translator.t("Another service answered with an error ({status}).", status=self.fields["status"])


class HttpUnexpected(HttpError):
    """An answer that is not what was asked for: ``reason`` is ``json``, ``text``, ``content_type`` or ``redirect``."""

    code = "http_unexpected"

    def explain(self, translator: Translator) -> str:
        """What to tell people."""
        if self.fields.get("reason") == "content_type":
            return translator.t("What is at this address is of another kind than expected.")
        return translator.t("Another service gave an answer that makes no sense.")


Reason: TypeAlias = Literal["url", "scheme", "userinfo", "host", "port", "address"]


class UnsafeUrl(HttpError):
    """A URL that is not followed; ``reason`` says which part of it is to blame."""

    code = "url_refused"

    def __init__(self, reason: Reason, **fields: Any) -> None:
        super().__init__(reason=reason, **fields)
        self.reason: Reason = reason

    def explain(self, translator: Translator) -> str:
        """What to tell people."""
        texts = {
            "url": translator.t("That is no web address that I understand."),
            "scheme": translator.t("Only addresses that begin with http:// or https:// can be used."),
            "userinfo": translator.t("An address with a user name or password in it cannot be used."),
            "host": translator.t("The name of the server in this address cannot be used."),
            "port": translator.t("This address names a port that cannot be used."),
            "address": translator.t("This address leads into a private network and cannot be used."),
        }
        return texts[self.fields["reason"]]
