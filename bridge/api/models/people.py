"""People, and how they sign in."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bridge.api.models.common import Body, ExternalId, Moment, Page, View, line, text


class NewPerson(Body):
    """Somebody of the product's. Their account is made, unless an OpenID token shows that they have one."""

    external_id: ExternalId = Field(description="What the product calls them. It never changes.")
    display_name: line(100, blank=True) = Field("", description="What others see; of a new account.")  # type: ignore[valid-type]
    openid_token: line(500) | None = Field(  # type: ignore[valid-type]
        None,
        description="`access_token` that the person's client got from "
        "`POST /_matrix/client/v3/user/{userId}/openid/request_token`: their own account is linked, "
        "and no new one made.",
    )


class PersonChange(Body):
    """What is to be different. What is left out stays."""

    display_name: line(100) | None = None  # type: ignore[valid-type]


class PersonView(View):
    """Somebody of the product's."""

    external_id: str
    user_id: str = Field(description="Their Matrix user id.")
    managed: bool = Field(description="The account was made for the product; a linked one is the person's own.")
    display_name: str
    created_at: Moment
    deactivated_at: Moment | None


class PeoplePage(Page[PersonView]):
    """People, those made last first."""


class NewSignIn(Body):
    """A sign-in to come."""

    expires_in: int = Field(120, ge=10, le=600, description="Seconds that the token is good for.")


class SignInToken(View):
    """Lets one device sign in. Hand it to the person's device and to nobody else."""

    token: str
    expires_at: Moment


class SignIn(Body):
    """A token that the product handed to the device."""

    token: str = Field(min_length=1, max_length=200)


class SignedIn(View):
    """With this the device logs in at the homeserver itself: `POST /_matrix/client/v3/login` with `type` and `token`.

    The access token and the device's keys are the device's alone.
    """

    homeserver_url: str
    user_id: str
    type: str = Field(description="`m.login.token`")
    login_token: str
    expires_in_ms: int


class NewSuspension(Body):
    """Why an account is suspended."""

    reason: text(1_000)  # type: ignore[valid-type]


class SuspensionView(View):
    """A suspension by the product: the account reads and leaves, and does nothing else."""

    state: Literal["suspending", "suspended", "lifting"] = Field(
        description="suspending, lifting: decided, and the homeserver does not know of it yet."
    )
    reason: str
    since: Moment


class Proof(Body):
    """That somebody asks whose account is their own. Of an account that was made for the product nothing is needed."""

    openid_token: line(500) | None = Field(  # type: ignore[valid-type]
        None,
        description="`access_token` that the person's client got from "
        "`POST /_matrix/client/v3/user/{userId}/openid/request_token`, and that was used for nothing else.",
    )


class RequestView(View):
    """What was asked for about a person, and how far it is."""

    id: str
    state: Literal["waiting", "running", "sweeping", "done", "failed"] = Field(
        description="sweeping: everything is erased, and it is looked for a day what comes late."
    )
    done: int = Field(description="Parts that are done.")
    total: int = Field(description="Of so many; 0 before it has begun.")
    problem: str | None = Field(description="Why it failed, or what could not be done: codes.")
    created_at: Moment
    finished_at: Moment | None


class ExportView(RequestView):
    """A copy of all that is held about a person, and how far it is."""

    size: int | None = Field(description="Bytes of the archive; null while there is none, and when it is forgotten.")
    url: str | None = Field(
        description="Where the archive (a zip file) is fetched, without a key. Whoever has this has the archive."
    )
    url_expires_at: Moment | None = Field(description="A new one is made each time that the export is asked for.")


class ErasureView(RequestView):
    """The erasure of a person, and how far it is."""
