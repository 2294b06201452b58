"""HTTP to the outside, for plugins: one client with timeouts, bounds and retries, and a guard for URLs of people."""

from bots.framework.http.client import HttpClient, HttpResponse
from bots.framework.http.errors import (
    HttpError,
    HttpRefused,
    HttpTimedOut,
    HttpTooLarge,
    HttpUnexpected,
    HttpUnreachable,
    UnsafeUrl,
)
from bots.framework.http.guard import AddressPolicy, Lookup

__all__ = [
    "AddressPolicy",
    "HttpClient",
    "HttpError",
    "HttpRefused",
    "HttpResponse",
    "HttpTimedOut",
    "HttpTooLarge",
    "HttpUnexpected",
    "HttpUnreachable",
    "Lookup",
    "UnsafeUrl",
]
