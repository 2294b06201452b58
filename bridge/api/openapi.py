"""The OpenAPI 3.1 document, made from the table of endpoints and their models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from appservice import __version__, json
from bridge.api.endpoints import PARAMETERS, Endpoint
from bridge.api.problems import CONTENT_TYPE
from bridge.domain.hooks import EVENTS
from bridge.domain.scopes import SCOPES

TAGS: Final = {
    "Product": "The product itself and its key.",
    "People": "The product's people: accounts that are made or linked, and how their devices sign in.",
    "Chats": "Chats and channels.",
    "Members": "Who is in a chat, and as what.",
    "Links": "Invite links and join requests.",
    "Timers": "How long messages stay.",
    "Retention": "How long messages are kept at the most, and legal holds.",
    "Messages": "Notices of the product, what became of them, and what happened in a chat.",
    "Search": "What the server may read.",
    "Moderation": "Reports and what is done about them.",
    "Audit": "Every decision.",
    "Webhooks": "What is told to the product as it happens.",
}
_REF: Final = "#/components/schemas/{model}"
_MEANINGS: Final = {
    400: "The query, a header or the JSON is malformed.",
    401: "No key, or one that is not good.",
    403: "The key lacks the scope, or the product may not do this.",
    404: "There is no such thing, or it is not the product's.",
    405: "This method is not for this path.",
    406: "The answer is of none of the types that `Accept` names.",
    408: "The body did not arrive in time.",
    409: "It has changed meanwhile, is so already in another way, or the same request is being worked on.",
    410: "It is over, or was used.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The body is well-formed and cannot be done; `errors` say what is wrong where.",
    429: "Too many requests; `Retry-After` says when to come back.",
    500: "A defect.",
    503: "The homeserver or the database does not answer, or too much is under way; try again.",
}
_COUNTED: Final = {
    "RateLimit-Limit": ("integer", "Requests in a window."),
    "RateLimit-Remaining": ("integer", "Requests that are left."),
    "RateLimit-Reset": ("integer", "Seconds until all are free again."),
    "RateLimit-Policy": ("string", "The limit and its window: `600;w=60`."),
}


def document(endpoints: Sequence[Endpoint], url: str) -> dict[str, Any]:
    """The document.

    Args:
        url: where the API is reached: ``https://example.org/api/v1``.
    """
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rialto",
            "version": __version__,
            "description": "Chats and channels for a product: kept over HTTP, used in any Matrix client.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "tags": [{"name": name, "description": words} for name, words in TAGS.items()],
        "paths": paths,
        "webhooks": {name: _told(name, words) for name, words in EVENTS.items()},
        "components": {
            "schemas": _schemas(endpoints),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": _scopes()}},
            "headers": {
                name: {"description": words, "schema": {"type": kind}} for name, (kind, words) in _COUNTED.items()
            },
            "responses": {str(status): _problem(status) for status in _MEANINGS},
        },
    }


def written(endpoints: Sequence[Endpoint], url: str) -> bytes:
    """The document as JSON."""
    return json.dumps(document(endpoints, url)) + b"\n"


def statuses(endpoint: Endpoint) -> list[int]:
    """The statuses of problems that an endpoint may answer."""
    found = {429, 500, 503, *endpoint.problems}
    if endpoint.scope is not None:
        found |= {400, 401, 403}
    if endpoint.parameters:
        found |= {404}
    if endpoint.query is not None:
        found |= {400, 422}
    if endpoint.media:
        found |= {406}
    if endpoint.writes:
        found |= {400, 408, 409, 413, 415, 422}
    return sorted(found)


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    words = endpoint.description
    if endpoint.scope:
        words = f"{words}\n\nScope: `{endpoint.scope}`.".strip()
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint),
        "security": [] if endpoint.scope is None else [{"key": []}],
    }
    if words:
        operation["description"] = words
    if endpoint.body is not None:
        required = any(each.is_required() for each in endpoint.body.model_fields.values())
        operation["requestBody"] = {
            "required": required,
            "content": {"application/json": {"schema": {"$ref": _REF.format(model=endpoint.body.__name__)}}},
        }
    return operation


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in endpoint.parameters:
        parameter = PARAMETERS[name]
        pattern = f"^(?:{parameter.pattern})$"
        found.append(
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": parameter.description,
                "schema": {"type": "string", "pattern": pattern},
                "example": parameter.example,
            }
        )
    if endpoint.query is not None:
        model = endpoint.query.model_json_schema(ref_template=_REF)
        required = set(model.get("required", ()))
        for name, field in model["properties"].items():
            schema: dict[str, Any] = {key: value for key, value in field.items() if key not in {"title", "description"}}
            # A query has no null: what may be null may be left out.
            if "anyOf" in schema:
                options = [each for each in schema.pop("anyOf") if each != {"type": "null"}]
                schema |= options[0] if len(options) == 1 else {"anyOf": options}
                schema.pop("default", None)
            entry = {"name": name, "in": "query", "required": name in required, "schema": schema}
            if words := field.get("description"):
                entry["description"] = words
            found.append(entry)
    if endpoint.writes and endpoint.scope is not None:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": endpoint.keyed,
                "description": "The same key with the same request gives the same answer for a day, and happens once.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
            }
        )
    return found


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    headers: dict[str, Any] = {name: {"$ref": f"#/components/headers/{name}"} for name in _COUNTED}
    if endpoint.writes and endpoint.scope is not None:
        words = "`true`: the answer to the same request before."
        headers["Idempotency-Replayed"] = {"description": words, "schema": {"type": "string", "const": "true"}}
    good: dict[str, Any] = {"description": "Done.", "headers": headers}
    status = "204"
    if endpoint.media:
        status = str(endpoint.status)
        good["content"] = {kind: {} for kind in endpoint.media}
    if endpoint.answer is not None:
        status = str(endpoint.status)
        schema = {"$ref": _REF.format(model=endpoint.answer.__name__)}
        good["description"] = (endpoint.answer.__doc__ or "Done.").strip().splitlines()[0]
        good["content"] = {"application/json": {"schema": schema}}
    return {status: good} | {str(each): {"$ref": f"#/components/responses/{each}"} for each in statuses(endpoint)}


def _problem(status: int) -> dict[str, Any]:
    content = {CONTENT_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
    if status == 503:  # what the listener itself sends away never comes to the API
        content["application/json"] = {"schema": {"type": "object"}}
    found: dict[str, Any] = {"description": _MEANINGS[status], "content": content}
    if status in {429, 503}:
        found["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return found


def _schemas(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    models: dict[tuple[type[BaseModel], Any], None] = {}
    for endpoint in endpoints:
        if endpoint.body is not None:
            models[endpoint.body, "validation"] = None
        if endpoint.answer is not None:
            models[endpoint.answer, "serialization"] = None
    _, defined = models_json_schema(list(models), ref_template=_REF)
    schemas: dict[str, Any] = dict(sorted(defined.get("$defs", {}).items()))
    schemas["Problem"] = {
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "`urn:rialto:problem:` and the code."},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "A sentence for people."},
            "code": {"type": "string", "description": "Stable, for programs."},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) into the request."},
                        "detail": {"type": "string"},
                    },
                },
            },
        },
    }
    schemas["WebhookEvent"] = {
        "type": "object",
        "description": "What a webhook is sent. Never the content of a message.",
        "required": ["id", "type", "at", "data"],
        "properties": {
            "id": {"type": "string", "description": "Of the delivery: a second one with the same id is the same."},
            "type": {"type": "string", "enum": list(EVENTS)},
            "at": {"type": "integer", "description": "Milliseconds since the epoch, UTC."},
            "chat": {"type": ["string", "null"], "description": "The id of the chat."},
            "data": {"type": "object"},
        },
    }
    return schemas


def _told(name: str, words: str) -> dict[str, Any]:
    return {
        "post": {
            "operationId": "on" + "".join(part.capitalize() for part in name.split(".")),
            "summary": words,
            "tags": ["Webhooks"],
            "security": [],
            "parameters": [
                {
                    "name": "X-Rialto-Signature",
                    "in": "header",
                    "required": True,
                    "description": "`t=<unix seconds>,v1=<hex>`: HMAC-SHA256 of `<t>.<body>` with the secret.",
                    "schema": {"type": "string"},
                }
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": _REF.format(model="WebhookEvent")}}},
            },
            "responses": {"2XX": {"description": "Taken. Anything else, and no answer within 10 s, is tried again."}},
        }
    }


def _scopes() -> str:
    lines = [f"- `{scope}`: {words}" for scope, words in SCOPES.items()]
    return "A product's key. Its scopes:\n\n" + "\n".join(lines)
