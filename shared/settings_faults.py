"""What is wrong with settings, in words: values that cannot be used, and names that no setting has. Pure."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from shared.settings_values import secrets_of

PREFIX: Final = "FUSIONAI_"
#: Names that are no fields: addresses of providers, and what Kubernetes sets for a service named `fusionai…`.
_OTHERS: Final = re.compile(r"PROVIDER_[A-Z0-9_]+_URL|(.+_)?SERVICE_(HOST|PORT)(_.+)?|(.+_)?PORT_[0-9]+_(TCP|UDP).*")
_SERVICE: Final = re.compile(r"(tcp|udp)://")

#: pydantic's type of an error → our words, with what it knows of the bounds. The value is left out: it may be a secret.
_WORDS: Final = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_parsing": "must be true or false",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be octal digits, such as 077",
    "json_invalid": "must be a JSON object: {error}",
    "dict_type": "must be a JSON object",
    "path_type": "must be a path",
}


def in_words(errors: Collection[Mapping[str, Any]]) -> list[str]:
    """One line for each error of pydantic's, after the name of its variable; one about all of them names its own."""
    return [_line(one) for one in errors]


def _line(error: Mapping[str, Any]) -> str:
    said = str(error["msg"]).removeprefix("Value error, ")
    if words := _WORDS.get(error["type"]):
        said = words.format(**error.get("ctx", {}))
    place = error["loc"]
    return f"{PREFIX}{str(place[0]).upper()}: {said}" if place else said


def unknown(given: Mapping[str, str | None], known: Collection[str]) -> Iterator[str]:
    """A line for each variable `FUSIONAI_…` that no setting has, with the nearest name; `known`: the fields' names."""
    names = [name.upper() for name in known]
    for variable, value in sorted(given.items()):
        name = variable.upper().removeprefix(PREFIX)
        if not variable.upper().startswith(PREFIX) or name in names or _OTHERS.fullmatch(name):
            continue
        if not _SERVICE.match(value or ""):
            near = difflib.get_close_matches(name, names, n=1)
            yield f"{variable} is no setting, and changes nothing{f'; did you mean {PREFIX}{near[0]}?' if near else ''}"


def fault_of_template(url: str) -> str | None:
    """What is wrong with a URL in which entities have places; None: nothing."""
    if not url.startswith(("http://", "https://")) or not url.isascii() or not url.isprintable() or " " in url:
        return "must begin with http:// or https://, and be printable ASCII without spaces"
    try:
        parts = urlsplit(url)
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or "{" in parts.netloc or "@" in parts.netloc:
        return "must have a host, without a user name, a password or placeholders"
    if parts.fragment or "#" in url:
        return "must not have a fragment"
    names = re.findall(r"\{([^{}]*)\}", url)
    if not {"type", "id"} <= set(names) or set(names) - {"type", "id", "account"}:
        return "must have the placeholders {type} and {id}, and may have {account}"
    return None


#: How the URLs of a Redis and of a broker begin; of several nodes of a broker, each.
REDIS: Final = ("redis://", "rediss://", "unix://")
RABBITMQ: Final = ("amqp://", "amqps://", "pyamqp://")
_BROKERS: Final = ("redis+socket://", "sentinel://", *RABBITMQ, "memory://")


def fault_of_server(url: str, *, broker: bool) -> str | None:
    """What is wrong with the URL of a Redis, or of a broker; None: nothing. A broker may have several, of one kind."""
    known = (*REDIS, *_BROKERS) if broker else REDIS
    nodes = url.split(";") if broker else [url]
    if not all(node.startswith(known) for node in nodes):
        return f"must begin with one of {', '.join(known)}"
    if len(nodes) > 1 and not (url.startswith(RABBITMQ) and len({node.partition(":")[0] for node in nodes}) == 1):
        return "several URLs, separated by semicolons, must all begin with amqp:// or all with amqps://"
    try:
        ports = [urlsplit(node).port for node in nodes]
    except ValueError:
        return "the port must be a number"
    return "the port must not be 0" if 0 in ports else None


#: Characters of the operator's password.
LEAST_PASSWORD: Final = 16
MOST_PASSWORD: Final = 1_000


def fault_of_password(passwords: str) -> str | None:
    """What is wrong with the operator's passwords; None: nothing, or there is none. They are never shown."""
    return next(filter(None, map(_fault_of_one, passwords.split())), None)


def _fault_of_one(password: str) -> str | None:
    if not (LEAST_PASSWORD <= len(password) <= MOST_PASSWORD):
        return (
            f"FUSIONAI_OPERATOR_PASSWORD has {len(password)} characters, but must have {LEAST_PASSWORD} to "
            f"{MOST_PASSWORD}; to generate one: openssl rand -base64 24"
        )
    if not (password.isascii() and password.isprintable()):
        return "FUSIONAI_OPERATOR_PASSWORD must be printable ASCII without spaces, since a header carries it"
    return None


def fault_of_key_secrets(settings: Any, least: int) -> str | None:
    """What is wrong with the secrets of keys, of which each has `least` characters; None: nothing. They are not shown.

    One that is named twice is a step of a change that was left out, after which keys would be refused.
    """
    try:
        before = secrets_of(settings.key_secrets_old)
    except ValueError as error:
        return f"FUSIONAI_KEY_SECRETS_OLD {error}"
    following = [settings.key_secret_next] if settings.key_secret_next else []
    named = [("KEY_SECRET", settings.key_secret), *(("KEY_SECRET_NEXT", one) for one in following)]
    named += [("KEY_SECRETS_OLD", one) for one in before]
    short = (_too_short(name, secret, least) for name, secret in named)
    return next(filter(None, short), None) or _repeated(settings.key_secret, following, before)


def _too_short(name: str, secret: str, least: int) -> str | None:
    if (characters := len(secret.strip())) >= least:
        return None
    has = "has a secret of" if name == "KEY_SECRETS_OLD" else "has"
    return (
        f"{PREFIX}{name} {has} {characters} characters, but must have at least {least}; "
        "to generate one: openssl rand -base64 32"
    )


def _repeated(in_force: str, following: Collection[str], before: Collection[str]) -> str | None:
    if in_force in following:
        return (
            "FUSIONAI_KEY_SECRET_NEXT is the same as FUSIONAI_KEY_SECRET: take it away, and name the secret that was "
            "in force before in FUSIONAI_KEY_SECRETS_OLD"
        )
    if {in_force, *following} & set(before):
        return "FUSIONAI_KEY_SECRETS_OLD has a secret that is in force, or the next; it is of those before alone"
    return None


def fault_of_stripe(settings: Any) -> str | None:
    """What is missing, or cannot be, where purchases are paid by Stripe; None: nothing. Secrets are never shown."""
    if not re.fullmatch(r"(sk|rk)_(live|test)_\w{8,}", settings.stripe_secret_key):
        return "FUSIONAI_STRIPE_SECRET_KEY must be a secret key of Stripe, sk_live_… or sk_test_… (or rk_…)"
    secrets = settings.stripe_webhook_secret.split()
    if not secrets or not all(re.fullmatch(r"whsec_[!-~]{16,}", one) for one in secrets):
        return (
            "FUSIONAI_STRIPE_WEBHOOK_SECRET must be the signing secret of your webhook endpoint at Stripe, whsec_… "
            "(or several, separated by spaces): without it anybody could say that an invoice is paid"
        )
    if not settings.stripe_success_url:
        return "FUSIONAI_STRIPE_SUCCESS_URL is missing: where Stripe sends customers who have paid"
    if not settings.price_amount:
        return "FUSIONAI_PRICE_AMOUNT is missing: the price of FUSIONAI_PRICE_CREDITS credits, in the minor unit"
    return None
