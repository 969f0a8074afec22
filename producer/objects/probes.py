"""What the probes answer. Pure."""

from typing import Literal

from typing_extensions import TypedDict


class Healthy(TypedDict):
    """The process turns."""

    status: Literal["ok"]


class Ready(Healthy):
    """The database answers."""

    database: Literal[True]


class NotReady(TypedDict):
    """The database does not answer."""

    status: Literal["unavailable"]
    database: Literal[False]


class Stopping(TypedDict):
    """The server is about to stop, and takes no new connections in a moment."""

    status: Literal["stopping"]
