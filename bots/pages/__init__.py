"""Small pages that the service serves: links that work once, forms, a look.

A page is a :class:`HostedPage`; a link to it is made by :meth:`Links.issue`; :class:`Pages` serves both.
"""

from bots.pages.app import HostedPage, Pages, Visit
from bots.pages.forms import Form
from bots.pages.links import PREFIX, LinkClaim, LinkInvalid, Links
from bots.pages.page import Button, Choice, Fact, Field, FieldKind, Mark, Page, Picture, Way, Weight

__all__ = [
    "PREFIX",
    "Button",
    "Choice",
    "Fact",
    "Field",
    "FieldKind",
    "Form",
    "HostedPage",
    "LinkClaim",
    "LinkInvalid",
    "Links",
    "Mark",
    "Page",
    "Pages",
    "Picture",
    "Visit",
    "Way",
    "Weight",
]
