"""The groups of `fusionai usage --by`: all of them, the dearest first."""

from collections.abc import Mapping
from typing import Any

from fusionai.plain import PlainClient
from producer.cli.output import Output, credits_text
from producer.cli.tables import Column, short_id
from shared.submissions.sizes import MOST_PAGE


def every_group(client: PlainClient, given: Mapping[str, str | None]) -> dict[str, Any]:
    """The report with the groups of all its pages."""
    wanted: dict[str, Any] = {**given, "limit": MOST_PAGE}
    whole: dict[str, Any] = client.get("/usage", **wanted)
    more = whole
    while more["has_more"]:
        more = client.get("/usage", **wanted, after=more["last_id"])
        whole["data"] += more["data"]
    whole.update(last_id=more["last_id"], has_more=False)
    return whole


def show_groups(output: Output, found: Mapping[str, Any]) -> None:
    """The groups as a table, by what they cost."""
    period, by = found["period"], found["group_by"]
    fields = {"period": f"{period['from']} to {period['to']}, UTC", "credits": credits_text(found["credits_used"])}
    if found["unattributed_credits"]:
        fields["unattributed"] = f"{credits_text(found['unattributed_credits'])} (the jobs are not kept any more)"
    output.fields(fields)
    output.line()
    columns = [Column("key", short=_short_key) if one == "key" else Column(one.removeprefix("metadata.")) for one in by]
    columns += [Column("jobs", right=True, drop=2), Column("tokens", right=True, drop=1)]
    columns.append(Column("images", right=True, drop=3))
    ordered = sorted(found["data"], key=lambda group: -group["credits_used"]) if by != ["day"] else found["data"][::-1]
    cells = [
        [
            *(_value(group, one) for one in by),
            f"{group['jobs']:,}",
            f"{group['prompt_tokens']:,} in, {group['completion_tokens']:,} out",
            group["images"],
            credits_text(group["credits_used"]),
        ]
        for group in ordered
    ]
    output.table([*columns, Column("credits", right=True)], cells, empty="Nothing was used.")


def _short_key(name: str) -> str:
    """A key without a name is shown by its id, of which the last characters will do."""
    return short_id(name) if name.startswith("key_") else name


def _value(group: Mapping[str, Any], dimension: str) -> str:
    if dimension == "key":
        return str(group["key_name"] or group["key_id"] or "(not known)")
    if dimension.startswith("metadata."):
        return str(group["metadata"][dimension.removeprefix("metadata.")] or "(none)")
    return str(group[dimension])
