"""The options of commands that take jobs by what they are: --status, --type, --model, --key …"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import wraps
from typing import Any, get_args

import click

from fusionai.plain import PlainClient
from fusionai.plain.objects import JobStatus
from producer.cli import ids
from producer.cli.ids import Id
from producer.cli.labels import metadata_option
from shared.submissions.job_types import JOB_TYPES

_STATUS = click.Choice(get_args(JobStatus))
_TIME = re.compile(r"[0-9]{1,11}")


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What was asked of jobs."""

    status: tuple[str, ...] = ()
    type: str | None = None
    model: str | None = None
    key_id: str | None = None
    batch_id: str | None = None
    created_after: int | None = None
    created_before: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def whole(self, client: PlainClient) -> "JobOptions":
        """The same, with whole ids."""
        named = {"key_id": self.key_id, "batch_id": self.batch_id}
        return replace(self, **{name: ids.whole(client, value) for name, value in named.items()})

    @property
    def empty(self) -> bool:
        """Whether nothing was asked."""
        return not self.body()

    def parameters(self) -> dict[str, Any]:
        """As parameters of a list, but for the metadata."""
        names = ("type", "model", "key_id", "batch_id", "created_after", "created_before")
        return {"status": ",".join(self.status) or None, **{name: getattr(self, name) for name in names}}

    def body(self) -> dict[str, Any]:
        """As the body of a call."""
        given = {**self.parameters(), "status": list(self.status), "metadata": dict(self.metadata)}
        return {name: value for name, value in given.items() if value not in (None, [], {})}

    def again(self) -> str:
        """As options of a command."""
        words = [f"--status {one}" for one in self.status]
        named = {"type": self.type, "model": self.model, "key-id": self.key_id, "batch": self.batch_id}
        words += [f"--{name} {value}" for name, value in named.items() if value is not None]
        times = {"since": self.created_after, "before": self.created_before}
        words += [f"--{name} {value}" for name, value in times.items() if value is not None]
        words += [f"--metadata {name}={value}" for name, value in self.metadata.items()]
        return "".join(f" {word}" for word in words)


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options, and `filters` as one argument of all of them."""

    @wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in _NAMES}
        filters = JobOptions(**given)
        return function(*args, filters=filters, **kwargs)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _moment(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None or _TIME.fullmatch(value):
        return None if value is None else int(value)
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("a time such as 2026-11-21 or 2026-11-21T13:30, in UTC, or Unix seconds") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


_OPTIONS = (
    click.option("--status", type=_STATUS, multiple=True, help="Only jobs of this status; may be repeated."),
    click.option("--type", type=click.Choice(JOB_TYPES), help="Only jobs of this type."),
    click.option("--model", metavar="ID", help="Only jobs that asked for this model."),
    click.option("--key-id", type=Id("key"), metavar="ID", help="Only jobs of this API key."),
    click.option("--batch", "batch_id", type=Id("batch"), metavar="ID", help="Only the jobs of this batch."),
    click.option("--since", "created_after", metavar="TIME", callback=_moment, help="Only jobs created then or later."),
    click.option("--before", "created_before", metavar="TIME", callback=_moment, help="Only jobs created before then."),
    metadata_option("Only jobs with this label; may be repeated."),
)
_NAMES = ("status", "type", "model", "key_id", "batch_id", "created_after", "created_before", "metadata")
