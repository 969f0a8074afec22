"""The summary of a batch that is over: its files are written, its failures are counted by reason."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any

import click

from fusionai.plain import Batch, PlainClient
from fusionai.plain.objects import BATCH_OVER, Fault, ProviderProgress, Reason
from producer.cli import rates
from producer.cli.activity import working
from producer.cli.faults import listed
from producer.cli.follow import FollowedBatch, Targets
from producer.cli.output import Output, Verbatim, credits_text, moment
from producer.cli.results import Written, write

#: Exit status when some lines ended other than succeeded.
SOME_FAILED = 3
#: The most reasons, and messages, that are listed.
_MOST_REASONS = 5
_LONGEST_MESSAGE = 200

Explain = Callable[[Sequence[Fault]], Sequence[Fault]]


def finish(
    client: PlainClient,
    output: Output,
    followed: FollowedBatch,
    targets: Targets,
    name: str | None = None,
    *,
    found: bool = True,
    explain: Explain = list,
) -> None:
    """Write the files of a batch that is over and print its summary; SystemExit unless every line succeeded.

    `name` is the file's, for what is wrong with it. `found`: it was there before this command.
    `explain` makes the faults of a file clearer.
    """
    batch = followed.batch
    if batch["status"] == "failed":
        refuse(output, batch, name, explain)
    with working(output, "Downloading the results", "bytes") as update:
        written = write(client, batch, targets, lambda done: update(done, None))
    already = found and followed.was_over
    more = {"seconds": round(followed.took, 3), "already_done": already, "reasons": followed.progress["reasons"]}
    value: dict[str, Any] = {**batch, **more, "messages": _counted(written), "written": _places(written)}
    output.value(value, lambda: output.fields(_summary(followed, targets, written, already)))
    if batch["status"] != "completed" or batch["request_counts"]["failed"]:
        raise SystemExit(SOME_FAILED)


def refuse(output: Output, batch: Batch, name: str | None, explain: Explain = list) -> None:
    """List what is wrong with a batch that was refused; exit status 1."""
    if output.as_json:
        output.value(batch, lambda: None)
    elif batch["errors"]:
        for fault in listed(explain(batch["errors"]["data"]), name):
            click.echo(fault, err=True)
    raise click.ClickException(f"{batch['id']} was refused; nothing was charged")


def report(output: Output, batch: Batch, *, found: bool) -> None:
    """Print a batch that was made, or found, and that this command does not wait for."""
    over = batch["status"] in BATCH_OVER

    def words() -> None:
        output.line(f"{batch['id']}  {already_over(batch) if over and found else batch['status']}")
        what = "To write its results" if over else "To follow it and write its results"
        output.line(f"{what}: fusionai batch {batch['id']} --wait")

    output.value({**batch, "already_done": over and found}, words)


def _counted(written: Written) -> list[dict[str, Any]]:
    """The messages of the lines that failed, the most frequent first."""
    return [{"message": one, "count": count} for one, count in written.messages.most_common(_MOST_REASONS)]


def _places(written: Written) -> dict[str, Any]:
    kept = {"kept": written.kept} if written.kept else {}
    return {"output": str(written.output), "errors": str(written.errors) if written.errors else None, **kept}


def _summary(
    followed: FollowedBatch, targets: Targets, written: Written, already: bool
) -> list[tuple[str, str | None]]:
    left = f", left as it is: it has {written.kept:,} answers more" if written.kept else ""
    batch, counts = followed.batch, followed.batch["request_counts"]
    return [
        ("batch", batch["id"]),
        ("", already_over(batch) if already else None),
        ("status", batch["status"] if batch["status"] != "completed" else None),
        ("succeeded", f"{counts['completed']:,} of {counts['total']:,}"),
        *failures(counts["failed"], followed.progress["reasons"]),
        *_messages(written),
        ("charged", f"{credits_text(batch['credits_used'])} credits{' then' if already else ''}"),
        ("took", None if already else _took(followed)),
        ("written", f"{written.output}{left}"),
        ("errors", str(written.errors) if written.errors else None),
        ("to retry", retrying(batch, followed.progress["reasons"], "--wait", "-o", str(targets.output))),
    ]


def retrying(batch: Batch, reasons: Sequence[Reason], *options: str) -> Verbatim | None:
    """The command that runs the failed lines again; None when there are none, or not yet.

    Lines that were cancelled are retried only when that reason is named, which is offered when there are no others.
    """
    if batch["status"] not in BATCH_OVER or not batch["request_counts"]["failed"]:
        return None
    only_cancelled = bool(reasons) and all(one["reason"] == "cancelled" for one in reasons)
    named = ("--reason", "cancelled") if only_cancelled else ()
    return Verbatim(shlex.join(("fusionai", "retry", batch["id"], *named, *options)))


def already_over(batch: Batch) -> str:
    """`already done at …; nothing was charged now`, of a batch that is over."""
    word = "done" if batch["status"] == "completed" else batch["status"]
    at = max(batch[name] or 0 for name in ("completed_at", "expired_at", "cancelled_at"))
    return f"already {word} at {moment(at)}; nothing was charged now"


def failures(count: int, reasons: Sequence[Reason]) -> list[tuple[str, str]]:
    """`failed  9: 4 × invalid_request (gpt-4), such as "…"`, and a line for each reason more."""
    grouped: dict[str, list[Reason]] = {}
    for reason in reasons:
        grouped.setdefault(reason["reason"], []).append(reason)
    groups = sorted(grouped.values(), key=lambda ones: -_sum(ones))
    texts = [_of_reason(ones) for ones in groups[:_MOST_REASONS]]
    if len(groups) > _MOST_REASONS:
        texts.append(f"{sum(map(_sum, groups[_MOST_REASONS:])):,} for {len(groups) - _MOST_REASONS} other reasons")
    first = f"{count:,}: "
    return [
        ("failed", first + texts[0] if texts else f"{count:,}"),
        *(("", " " * len(first) + text) for text in texts[1:]),
    ]


def _messages(written: Written) -> list[tuple[str, str | None]]:
    """`messages  9 × no such thing`, and a line for each message more."""
    counted = _counted(written)
    texts = [f"{one['count']:,} × {one['message']}" for one in counted]
    if left := written.messages.total() - sum(one["count"] for one in counted):
        texts.append(f"{left:,} × something else")
    return [("" if number else "messages", text) for number, text in enumerate(texts)]


def _of_reason(ones: Sequence[Reason]) -> str:
    example = next((f', such as "{_cut(one["message"])}"' for one in ones if one["message"]), "")
    return f"{_sum(ones):,} × {ones[0]['reason']} ({_models(ones)}){example}"


def _sum(ones: Sequence[Reason]) -> int:
    return sum(one["count"] for one in ones)


def provider_rows(providers: Sequence[ProviderProgress]) -> list[tuple[str, str]]:
    """What each provider has of a batch, in words."""
    return [(one["provider"], _of_provider(one)) for one in providers]


def _of_provider(one: ProviderProgress) -> str:
    parts = [f"{one['completed'] + one['failed']:,}/{one['total']:,}"]
    parts += [f"{one[name]:,} {name}" for name in ("failed", "running", "waiting") if one[name]]
    until = f" until {moment(one['until'])}" if one["until"] else ""
    return ", ".join(parts) + (f": {one['waiting_for']}{until}" if one["waiting_for"] else "")


def _cut(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[: _LONGEST_MESSAGE - 1]}…"


def _models(reasons: Sequence[Reason]) -> str:
    if len(reasons) == 1:
        return _model(reasons[0])
    return ", ".join(f"{_model(one)} {one['count']:,}" for one in reasons)


def _model(one: Reason) -> str:
    return one["model"] or "several models"


def _took(followed: FollowedBatch) -> str:
    total = followed.batch["request_counts"]["total"]
    if followed.seconds is None:
        return f"{followed.took:,.0f} s" if followed.took else "under a second"
    number, unit = rates.rate_text(total / followed.seconds).split("/")
    return f"{followed.took:,.1f} s, {number} lines/{unit}"
