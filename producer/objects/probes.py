"""What the probes answer. Pure."""

from typing import Literal

from typing_extensions import TypedDict


class Healthy(TypedDict):
    """The process is running."""

    status: Literal["ok"]


class Ready(Healthy):
    """The database is available."""

    database: Literal[True]


class NotReady(TypedDict):
    """The database is unavailable."""

    status: Literal["unavailable"]
    database: Literal[False]


class Stopping(TypedDict):
    """The server is shutting down and will soon stop accepting connections."""

    status: Literal["stopping"]


class Received(TypedDict):
    """A message of a payment provider was taken."""

    received: Literal[True]
