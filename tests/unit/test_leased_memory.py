"""What a worker keeps of a job while its call waits: thousands of jobs do."""

import asyncio

from shared.jobs.leases import Leased
from shared.submissions import quote, rows
from shared.submissions.catalogue import catalogue
from shared.submissions.schemas import read_submission
from tests.integration import attempts
from workers.providers import ProviderAnswer, ProviderCall, openai
from workers.running.partial_answer import PartialAnswer

ANSWER = b'{"choices": [{"message": {"content": "Hello"}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}'


def leased() -> Leased:
    """A job as it is leased."""
    submission = read_submission("chat.completion", {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}]})
    priced = rows.priced(submission, quote.offers(submission, catalogue(), test=False))
    job, payload = rows.rows(rows.Owner("acc_1", "key_1", False), priced)
    taken = {name: job[name] for name in Leased.__dataclass_fields__ if name in job}
    return Leased(**{**taken, "epoch": 1, "offer": 0, "failures": 0, "cohort": 0, "batch_id": None, "attempts": None,
                     "request": payload["request"], "offers": payload["offers"]})  # fmt: skip


def test_what_is_asked_for_is_kept_once_while_the_call_waits() -> None:
    job, kept = leased(), []

    class Waiting:
        async def call(self, call: ProviderCall) -> ProviderAnswer:
            kept.append((job.request, job.offers))
            assert call.request["messages"][0]["content"] == "hi"
            return openai.read(call, 200, ANSWER)

    async def main() -> str:
        by = attempts.of(Waiting())
        ending = await by.run(job, [], PartialAnswer())
        await by.pace.close()
        return getattr(ending, "status", "requeued")

    assert asyncio.run(main()) == "succeeded"
    assert kept == [("", "")]
