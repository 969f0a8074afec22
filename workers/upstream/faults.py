"""What kind of fault a failed attempt is, from its status and its codes. Pure.

| kind | what it is | what follows from it |
|---|---|---|
| callers | the request is wrong, and would be anywhere | shown to the caller; no other offer |
| content_filter | the provider declines to answer this | the same: a filter is never routed around |
| too_long | more than this model, or this provider, takes at once | the next offer; else shown to the caller |
| key | our key is refused | the provider is paused; the next offer |
| quota | our money or quota there is used up, for a day or until paid | the provider is paused; the next offer |
| missing | this offer cannot be served: no such model there, no key here | the next offer; pauses nothing |
| shape | it answered whole, and in a wrong shape: it would again, and be paid again | the next offer; pauses nothing |
| rate | we ask faster than we may | later, and slower |
| overload | it has more than it can do | later, and slower |
| unreachable | nobody answered: no connection, no head in time, a gateway without its server | later; the breaker |
| broken | it failed, or answered with what is no answer | later; the breaker |

A model that is not known there is `missing`, not `broken`: it is our catalogue that is wrong, for this offer alone, and
no waiting mends it. A refused key that Google calls an invalid argument, a quota that OpenAI and Anthropic call a rate
limit, are known by their codes, which go before the status; the general ones (`invalid_request_error`) after it.
"""

from collections.abc import Mapping
from typing import Final, Literal

from shared.errors import ProviderError
from shared.jobs.reasons import plain

Kind = Literal[
    "callers",
    "content_filter",
    "too_long",
    "key",
    "quota",
    "missing",
    "shape",
    "rate",
    "overload",
    "unreachable",
    "broken",
]

#: Our code for a request that does not fit into the model's window, OpenAI's by origin, whatever the provider's is.
TOO_LONG: Final = "context_length_exceeded"
#: Our code for Google's exhausted quota of a day, which it states in a list of violations.
DAILY_QUOTA: Final = "daily_quota_exceeded"
#: Our code, OpenAI's by origin, for a quota of a minute that Google states in the same way.
RATE_LIMIT: Final = "rate_limit_exceeded"
#: Our code for signed thoughts in a request that this model, or this account, cannot read: another one signed them.
BAD_SIGNATURE: Final = "invalid_thought_signature"
#: Our code for a provider without a key in this process, which says nothing of the provider.
NOT_CONFIGURED: Final = "not_configured"

#: The kinds of which the request is the cause: the provider's words are for the caller.
CALLERS: Final = frozenset({"callers", "content_filter", "too_long"})
#: The kinds that are about our account with the provider: it refuses our key, or our quota is used up.
ACCOUNT: Final[frozenset[Kind]] = frozenset({"key", "quota"})

#: Our key is wrong, whatever the status: Google answers 400 to a wrong key, gateways 200.
KEY_CODES: Final = frozenset(
    {
        "invalid_api_key",
        "authentication_error",
        "permission_error",
        "account_deactivated",
        "API_KEY_INVALID",
        "API_KEY_SERVICE_BLOCKED",
        "organization_on_hold",
        "CONSUMER_INVALID",
        "CONSUMER_SUSPENDED",
        "SERVICE_DISABLED",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
    }
)

#: Paying helps, waiting does not, whatever the status: OpenAI's exhausted quota and Anthropic's spend limits are 429s.
QUOTA_CODES: Final = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "spend_limit_exceeded",
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_billing_unavailable",
        "linked_organization_spend_limit_reached",
        "BILLING_DISABLED",
        DAILY_QUOTA,
    }
)

#: Filters of what goes in or comes out: OpenAI's, Azure's, OpenAI's of images.
CONTENT_CODES: Final = frozenset(
    {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation", "moderation_blocked"}
)

_LONG_CODES = frozenset({TOO_LONG, "request_too_large", "string_above_max_length"})

_MISSING_CODES = frozenset(
    {
        "model_not_found",
        "model_decommissioned",
        "invalid_model",
        "not_found_error",
        "DeploymentNotFound",
        "OperationNotSupported",
        "NOT_FOUND",
        "UNIMPLEMENTED",
        "FAILED_PRECONDITION",
        NOT_CONFIGURED,
    }
)


def _each(kind: Kind, *keys: frozenset[str]) -> dict[str, Kind]:
    return {key: kind for some in keys for key in some}


#: Statuses from here on are no answers; a redirect, which is never followed, is none either: it is our address of the
#: offer that is wrong.
REFUSED_FROM: Final = 300

#: Codes that mean the same whatever the status.
_CODES: Final[Mapping[str, Kind]] = {
    **_each("key", KEY_CODES),
    **_each("quota", QUOTA_CODES),
    **_each("content_filter", CONTENT_CODES),
    **_each("too_long", _LONG_CODES),
    **_each("missing", _MISSING_CODES),
    **_each("shape", frozenset({"shape"})),
    **_each("overload", frozenset({"overloaded_error", "engine_overloaded_error", "server_overloaded", "slow_down"})),
    **_each("overload", frozenset({"capacity_exceeded", "UNAVAILABLE"})),
}

#: 498 is Groq's for no capacity, 529 Anthropic's `overloaded_error`, 52x a gateway's whose server does not answer.
_STATUSES: Final[Mapping[int, Kind]] = {
    **dict.fromkeys((400, 415, 422), "callers"),
    401: "key",
    402: "quota",
    403: "key",
    413: "too_long",
    429: "rate",
    **dict.fromkeys((408, 409, 425, 498, 503, 529), "overload"),
    **dict.fromkeys((502, 504, 520, 521, 522, 523, 524, 525, 526, 530), "unreachable"),
    501: "missing",
}

#: Codes that say of a request that something in it is wrong, and not what.
GENERAL_CODES: Final = frozenset({"invalid_request_error", "INVALID_ARGUMENT", "OUT_OF_RANGE"})

#: Codes that count where the status says nothing: of an error within a 200, and ours.
_GENERAL: Final[Mapping[str, Kind]] = {
    **_each("callers", GENERAL_CODES),
    **_each("rate", frozenset({RATE_LIMIT, "rate_limit_error", "RESOURCE_EXHAUSTED", "requests", "tokens"})),
    **_each("unreachable", frozenset({"connect", "first_byte", "timeout_error", "DEADLINE_EXCEEDED"})),
}


def classify(error: ProviderError) -> Kind:
    """The kind of this fault.

    >>> classify(ProviderError("", upstream_status=429, code="insufficient_quota"))
    'quota'
    >>> classify(ProviderError("", upstream_status=429, code="rate_limit_exceeded"))
    'rate'
    """
    if error.code == "reset" and not error.head:
        return "unreachable"
    return kind_of(error.upstream_status, error.code)


def kind_of(status: int | None, code: str | None) -> Kind:
    """The same of a status, None when there was none, and a code."""
    if code is not None and (kind := _CODES.get(code)):
        return kind
    if status is not None and status >= REFUSED_FROM:
        return _STATUSES.get(status) or ("missing" if status < 500 else "broken")
    return _GENERAL.get(code or "", "broken")


def label(error: ProviderError) -> str:
    """A fault in one word, as operators and customers see it: `429`, `connect`, `first_byte`."""
    refused = error.upstream_status is not None and error.upstream_status >= REFUSED_FROM
    return str(error.upstream_status) if refused else plain(error.code or "error")
