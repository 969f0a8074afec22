"""A 402 says what is needed, what is there, what is held and by how many jobs, and what would do."""

import asyncio
from io import BytesIO
from typing import Any

import pytest

from producer.admission.accept import Acceptor
from producer.admission.prepared import Accepted
from producer.operations import batches as producer_batches
from producer.operations.batches import BatchSpec
from shared.batches.linked_lines import LinkedLines
from shared.db import Database
from shared.errors import InsufficientCredits
from shared.money.shortage import Funds, Need, explain, refusal
from shared.submissions.catalogue import catalogue
from tests.catalogues import dear_gpt_4  # noqa: F401
from tests.integration import batch_world, world
from tests.integration.batch_world import chat, files_of_its_own  # noqa: F401
from tests.integration.world import CREDIT

pytestmark = pytest.mark.usefixtures("dear_gpt_4")


def ask(database: Database, holder: world.KeyHolder, *, listed: int = 0, **more: Any) -> Accepted | InsufficientCredits:
    """What comes of a request, as its caller is told."""
    wanted = world.submission(**{"max_tokens": None, **more})

    async def main() -> Accepted | InsufficientCredits:
        acceptor = Acceptor(database, world.RecordedBell())
        try:
            return await acceptor.accept(
                acceptor.prepare(holder, [wanted] * (listed or 1), listed=bool(listed), claim=None)
            )
        except InsufficientCredits as error:
            return error
        finally:
            await acceptor.close()

    return asyncio.run(main())


def refused(database: Database, holder: world.KeyHolder, **more: Any) -> InsufficientCredits:
    answer = ask(database, holder, **more)
    assert isinstance(answer, InsufficientCredits)
    return answer


def test_a_greeting_without_a_limit_is_told_which_limit_would_do(database: Database) -> None:
    holder = world.open_account(database, 10)
    error = refused(database, holder)
    most = error.details["max_tokens"]
    assert error.details["required_credits"] > 10 == error.details["available_credits"]
    assert error.details["held_credits"] == 0 == error.details["held_by_jobs"] and "jobs" not in error.details
    assert error.param == "max_tokens" and f"set max_tokens to {most:,} or less to fit" in error.message
    assert "this job may cost up to" in error.message and "10 are available" in error.message
    assert isinstance(ask(database, holder, max_tokens=most + 1), InsufficientCredits)
    assert isinstance(ask(database, holder, max_tokens=most), Accepted)


@pytest.mark.parametrize("more", [{"n": 3}, {"routing": {"fallbacks": ["claude-3-sonnet"]}}, {"max_tokens": 4000}])
def test_what_is_said_to_do_does(database: Database, more: dict[str, Any]) -> None:
    holder = world.open_account(database, 7)
    most = refused(database, holder, **more).details["max_tokens"]
    assert isinstance(ask(database, holder, **{**more, "max_tokens": most}), Accepted)
    assert world.violations(database) == []


def test_a_refusal_names_what_is_held_and_by_how_many_jobs(database: Database) -> None:
    holder = world.open_account(database, 10)
    world.queued(database, holder, 2, bound=3 * CREDIT)
    held = world.take(database, world.new_worker(database), world.queued(database, holder, 1, bound=CREDIT))
    world.settle(database, *(world.good_end(job) for job in held))
    error = refused(database, holder)
    assert error.details["held_credits"] == 6 and error.details["held_by_jobs"] == 2
    assert "4 are available and 6 are held by 2 unfinished jobs" in error.message


def test_what_no_limit_can_help_does_not_speak_of_one(database: Database) -> None:
    nothing = world.open_account(database, 0)
    error = refused(database, nothing)
    assert "max_tokens" not in error.details and "max_tokens" not in error.message and error.param is None
    with pytest.raises(InsufficientCredits) as short:
        outcome = world.accept_all(database, [world.order(database, nothing, type="image")])[0]
        assert isinstance(outcome, InsufficientCredits)
        raise outcome
    assert "max_tokens" not in short.value.message


def test_of_a_list_is_said_how_many_jobs_would_fit_and_which_limit(database: Database) -> None:
    holder = world.open_account(database, 60)
    error = refused(database, holder, listed=5)
    each = error.details["required_credits"] / 5
    assert error.details["jobs"] == 5 and error.details["fitting_jobs"] == int(60 / each)
    assert f"the first {error.details['fitting_jobs']} of the 5 jobs would fit" in error.message
    assert f"set max_tokens to {error.details['max_tokens']:,} or less in each job" in error.message
    assert isinstance(ask(database, holder, listed=5, max_tokens=error.details["max_tokens"] + 1), InsufficientCredits)
    assert isinstance(ask(database, holder, listed=5, max_tokens=error.details["max_tokens"]), Accepted)


#: No line here names an entity.
NOTHING_LINKED = LinkedLines(lambda keys: {})


def _lines(count: int, **body: Any) -> list[dict[str, Any]]:
    asked = {"max_tokens": catalogue().models["gpt-4"].max_output, **body}
    return [chat(str(number), **asked) for number in range(count)]


def test_a_batch_s_failure_and_its_dry_run_say_the_same_as_a_402(database: Database) -> None:
    holder = world.open_account(database, 60)
    spec = BatchSpec(requests=_lines(20), endpoint="/v1/chat/completions")
    quoted, need = producer_batches.dry_run(spec, holder, BytesIO(producer_batches.lines_of(spec)), NOTHING_LINKED)
    dry = database.read_sync(producer_batches.afforded, holder, need)
    id = batch_world.new_batch(database, holder, _lines(20))
    batch_world.take_turns(database)
    shown = batch_world.shown(database, holder, id)
    (error,) = shown["errors"]["data"]
    assert shown["status"] == "failed" and error["code"] == "insufficient_credits" and error["param"] is None
    assert dry["shortage"] == {name: value for name, value in error.items() if name not in ("code", "line", "param")}
    assert error["required_credits"] == quoted["credits_worst_case"] and dry["credits_available"] == 60
    fits = error["fitting_jobs"]
    assert error["jobs"] == 20 and f"the first {fits} of the 20 lines would fit" in error["message"]
    for lines, status in ((_lines(fits + 1), "failed"), (_lines(20, max_tokens=error["max_tokens"]), "in_progress")):
        id = batch_world.new_batch(database, holder, lines)
        batch_world.take_turns(database)
        assert batch_world.row(database, id)["status"] == status
    error = refused(database, holder).details
    assert error["held_by_jobs"] == 20, "lines of a batch hold as jobs do"


def _failure(database: Database, holder: world.KeyHolder, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What is said of a batch of these lines that could not be held for; of one that could: nothing."""
    id = batch_world.new_batch(database, holder, lines)
    batch_world.take_turns(database)
    errors: dict[str, Any] = batch_world.shown(database, holder, id)["errors"] or {"data": [{}]}
    return dict(errors["data"][0])


def test_where_no_limit_would_do_for_all_lines_it_is_said_what_would_for_the_first(database: Database) -> None:
    holder = world.open_account(database, 10)
    said = _failure(database, holder, _lines(200, max_tokens=None))["message"]
    assert "the first of the 200 lines does not fit; it would fit with max_tokens of " in said
    most = int(said.split("max_tokens of ")[1].split(" ")[0].replace(",", ""))
    assert _failure(database, holder, _lines(1, max_tokens=most + 1)) and not _failure(
        database, holder, _lines(1, max_tokens=most)
    )
    rich = world.open_account(database, 60)
    some = _failure(database, rich, _lines(2000, max_tokens=None))
    assert "max_tokens" not in some and 0 < some["fitting_jobs"] < 2000
    assert "of the 2,000 lines would fit, or more with a smaller max_tokens" in some["message"]
    assert some["fits_in_slices"] and 'set hold to "slices"' in some["message"]


def test_credits_are_written_out_and_grouped_and_one_line_is_no_first_of_one(database: Database) -> None:
    holder = world.open_account(database, 0)
    said = _failure(database, holder, _lines(200))["message"]
    required = _failure(database, holder, _lines(200))["required_credits"]
    assert required > 1000 and f"up to {required:,} credits, 0 are available" in said
    assert "first" not in _failure(database, holder, _lines(1))["message"]
    assert 'set on_insufficient_credits to "wait"' in refusal(Need(bounds=[21]), Funds(1, 0)).message
    full = Need(bounds=[21])
    full.waiting = 10_000
    assert "on_insufficient_credits" not in refusal(full, Funds(1, 0)).message, "the line is full"
    little, _ = explain(Need(bounds=[21]), Funds(1, 0))
    assert little == "insufficient credits: this job may cost up to 0.000021 credits, 0.000001 are available"


def test_a_dry_run_of_what_can_be_paid_lacks_nothing(database: Database) -> None:
    holder = world.open_account(database, 1000)
    spec = BatchSpec(requests=_lines(2), endpoint="/v1/chat/completions")
    _, need = producer_batches.dry_run(spec, holder, BytesIO(producer_batches.lines_of(spec)), NOTHING_LINKED)
    assert database.read_sync(producer_batches.afforded, holder, need)["shortage"] is None


def test_of_forty_at_once_exactly_those_are_taken_that_the_balance_holds(database: Database) -> None:
    holder = world.open_account(database, 1000)
    accepted = ask(database, holder, max_tokens=20)
    assert isinstance(accepted, Accepted)
    bound = world.rows(database, world.m.jobs)[0]["bound_micros"]
    poor = world.open_account(database, 25.5 * bound / CREDIT)

    async def main() -> list[Any]:
        acceptor = Acceptor(database, world.RecordedBell())
        wanted = world.submission(max_tokens=20)
        calls = (acceptor.accept(acceptor.prepare(poor, [wanted], listed=False, claim=None)) for _ in range(40))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await acceptor.close()
        return answers

    answers = asyncio.run(main())
    taken = [one for one in answers if isinstance(one, Accepted)]
    short = [one for one in answers if isinstance(one, InsufficientCredits)]
    assert (len(taken), len(short)) == (25, 15) and world.violations(database) == []
    assert {error.details["held_by_jobs"] for error in short} == {25}


def _dry(database: Database, holder: world.KeyHolder, lines: list[dict[str, Any]]) -> Any:
    spec = BatchSpec(requests=lines, endpoint="/v1/chat/completions")
    quoted, need = producer_batches.dry_run(spec, holder, BytesIO(producer_batches.lines_of(spec)), NOTHING_LINKED)
    return {**quoted, **database.read_sync(producer_batches.afforded, holder, need)}


def test_a_dry_run_says_what_is_likely_by_the_account_s_own_answers(database: Database) -> None:
    holder, other = world.open_account(database, 60), world.open_account(database, 60)
    lines = [chat(str(number), max_tokens=1000) for number in range(10)]
    assert "estimate" not in _dry(database, holder, lines), "there is nothing to go by"
    jobs = world.take(database, world.new_worker(database), world.queued(database, holder, 2, bound=CREDIT))
    for job, tokens in zip(jobs, (20, 61), strict=True):
        world.settle(database, world.good_end(job, charge=1, completion_tokens=tokens))
    said = _dry(database, holder, lines)
    price = catalogue().models["gpt-4"]
    output = 10 * 41 * price.output / 1_000_000 / CREDIT  # the mean, rounded up
    assert said["estimate"]["bound"] == said["credits_worst_case"]
    assert said["estimate"]["based_on"] == {"jobs": 2, "days": 1}
    assert output < said["estimate"]["likely"] < output + 10 * 20 * price.input / 1_000_000 / CREDIT
    short = _dry(database, holder, [chat("a", max_tokens=5)])["estimate"]
    assert short["likely"] <= short["bound"], "no answer is longer than its limit"
    assert "estimate" not in _dry(database, other, lines), "it is about each account's own"
    assert "estimate" not in _dry(database, holder, [*lines, chat("b", model="claude-3-sonnet")])


@pytest.mark.parametrize(("limit", "fits"), [(None, True), (4000, False)])
def test_lines_that_do_not_fit_together_may_in_slices(database: Database, limit: int | None, fits: bool) -> None:
    holder = world.open_account(database, 20)
    lines = [chat(str(number), max_tokens=1000) for number in range(10)]
    lines += [chat("last", max_tokens=limit)] if limit else []
    error = _failure(database, holder, lines)
    assert error["fits_in_slices"] is fits and ('set hold to "slices"' in error["message"]) is fits
    assert _dry(database, holder, lines)["shortage"]["fits_in_slices"] is fits
