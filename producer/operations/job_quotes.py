"""What jobs would cost, if they were accepted: at most, and likely."""

from collections.abc import Sequence
from typing import cast

from producer.objects import Afforded, JobsDryRun
from producer.operations import batches
from producer.operations.placing import Placer
from shared.key_holders import KeyHolder
from shared.objects.amounts import credits
from shared.submissions.schemas import Submission


async def quote(placer: Placer, holder: KeyHolder, submissions: Sequence[Submission], *, listed: bool) -> JobsDryRun:
    """The dry run of jobs that have been read; what cannot be accepted is refused as the jobs would be."""
    prepared = await placer.prepare(holder, submissions, listed=listed, claim=None, quoting=True)
    if holder.test:
        afforded: Afforded = {"credits_available": None, "shortage": None}
    else:
        afforded = await placer.database.read(batches.afforded, holder, prepared.need)
    most = credits(prepared.bound)
    quoted = {"object": "job.dry_run", "jobs": len(submissions), "credits_worst_case": most, **afforded}
    return cast(JobsDryRun, quoted)
