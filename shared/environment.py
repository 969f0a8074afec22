"""Variables of the environment, and of a `.env` file, under names that are not ours: keys of providers, proxies."""

import os
import re
from functools import lru_cache


def usual(*names: str) -> dict[str, str]:
    """Variables that other programs read as well, by their names in capitals; those that are set.

    The one in small letters goes before, empty too, as with curl; the environment before `.env`.
    """
    found: dict[str, str] = {}
    for name in names:
        for place in (os.environ, _dotenv()):
            for spelt in (name.lower(), name):
                if name not in found and (value := place.get(spelt)) is not None:
                    found[name] = value
    return found


def provider_key(environment_name: str) -> str | None:
    """A provider's key under the provider's own name (OPENAI_API_KEY …), from the environment or `.env`."""
    if value := os.environ.get(environment_name):
        return value
    return _dotenv().get(environment_name) or None


def provider_url(name: str, usual_name: str = "") -> str:
    """Where a provider is: `FUSIONAI_PROVIDER_NAME_URL`, or the variable that other programs read; empty: not set."""
    return provider_key(url_name(name)) or (provider_key(usual_name) if usual_name else None) or ""


def url_name(provider: str) -> str:
    """The environment name of a provider's URL."""
    return f"FUSIONAI_PROVIDER_{re.sub('[^A-Z0-9]', '_', provider.upper())}_URL"


def variables(prefix: str) -> dict[str, str | None]:
    """The variables whose names begin so, in whatever letters; the environment before `.env`."""
    return {name: value for name, value in (_dotenv() | dict(os.environ)).items() if name.upper().startswith(prefix)}


def suggest(name: str, value: str) -> None:
    """Set a variable that a library in this process reads, unless an operator has set it."""
    os.environ.setdefault(name, value)


def inherited() -> dict[str, str]:
    """A copy of the environment, for a child process."""
    return dict(os.environ)


@lru_cache(maxsize=1)
def _dotenv() -> dict[str, str | None]:
    from dotenv import dotenv_values

    return dotenv_values(".env")
