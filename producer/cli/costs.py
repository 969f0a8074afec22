"""What a dry run says of credits, in words."""

from fusionai.plain import DryRun
from fusionai.plain.asked import FileVerdict
from producer.cli.output import Output, credits_text


def show(output: Output, verdict: FileVerdict | DryRun) -> None:
    """Print how many lines there are, and what they cost at most, and likely; nothing of a file with faults."""
    if verdict["valid"]:
        output.fields(
            {
                "lines": f"{verdict['request_counts']['total']:,}",
                "at most": f"{credits_text(verdict['credits_worst_case'])} credits",
                **_likely(verdict),
                **_available(verdict),
            }
        )


def _likely(verdict: FileVerdict | DryRun) -> dict[str, str]:
    """Nothing where the account has no jobs of the same models to go by."""
    if (estimate := verdict.get("estimate")) is None:
        return {}
    jobs, days = estimate["based_on"]["jobs"], estimate["based_on"]["days"]
    by = f"{jobs:,} job{'s' * (jobs != 1)} on {days} day{'s' * (days != 1)}"
    return {"likely": f"{credits_text(estimate['likely'])} credits, by your {by}"}


def _available(verdict: FileVerdict | DryRun) -> dict[str, str]:
    """Nothing for a test key, which costs nothing."""
    available = verdict["credits_available"]
    return {} if available is None else {"available": f"{credits_text(available)} credits"}
