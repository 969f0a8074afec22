"""How what workers report changes what is known of a provider's pace. Pure: no clock, network, database or Redis.

Three things are found out of one provider and model. A **rate**: once the provider says "too many" (429, 529) it is
set below what was admitted of late, and then grows by a few percent a second, which costs about one refusal in a
hundred calls. A **limit** of calls in flight: it doubles while all of it is used, and is cut when a refusal comes while
all of it was used (TCP's slow start). A call now and then that is refused because the provider has too much to do (503,
529), while most are answered, slows nobody but itself. A **pause**: after a few failures in a row that say that the
provider is down, or a single one that says that it refuses our key, nothing is sent but one call now and then that
tries it.
"""

from collections.abc import Mapping
from typing import Final

from shared.providers.states import ProviderState
from workers.pacing.outages import FAILURES, PROBE, SOON, Pauses, failed, resume, still_tells, until_quiet
from workers.pacing.reports import Report

#: What is left of the rate, and of the limit, after a refusal.
CUT: Final = 0.9
LIMIT_CUT: Final = 0.7
#: How fast the rate grows, a second: while it is a first guess; then quickly to just below what was last refused,
#: gently around that, and then, by how long ago it was refused, ever faster, since the limit has probably been raised.
SEARCH: Final = 0.1
RECOVERY: Final = 0.03
NEAR: Final = 0.97
GROWTH: Final = ((25.0, 0.003), (45.0, 0.02), (75.0, 0.05), (105.0, 0.2), (float("inf"), 1.0))
#: A rate above this is no limit any more.
MOST_RATE: Final = 2_000.0
LEAST_RATE: Final = 0.05
#: The least that is guessed at first.
FIRST_RATE: Final = 2.0
MOST_LIMIT: Final = 100_000.0
#: The share of the limit by which it grows in a second while nothing has been refused.
WIDENING: Final = 0.5
#: The share of the limit by which it grows, for each time that as many calls have been answered, once it has been cut.
LIMIT_GROWTH: Final = 0.05
#: How far back admitted calls are counted, in seconds, and the shortest time that says anything.
WINDOW: Final = 5.0
LEAST_WINDOW: Final = 1.0
#: The shortest time over which a first guess at the rate is made.
FIRST_WINDOW: Final = 0.25
#: A rate that was borne for so long is more than a guess.
PROVEN: Final = 5.0
#: While at most this share of the calls of the last BORNE_SECONDS is refused for overload, each of these is a matter of
#: its own: the provider fails some calls at any pace, and a hold for all would not help the next one.
BORNE: Final = 0.25
BORNE_SECONDS: Final = 2.0
#: By how many calls such a refusal makes the limit smaller. One for each six calls keeps it as it is.
EASING: Final = 0.25
#: The pause after a refusal that names none; doubled for each refusal in a row.
HOLD: Final = 0.5
MOST_HOLD: Final = 30.0
#: The longest pause after the first refusal in a row.
FIRST_HOLD: Final = 2.0
#: A worker that has not reported for so long has no share.
GONE: Final = 3.0
#: For how long what the headers said is believed.
TOLD: Final = 120.0


def step(state: ProviderState, report: Report, now: float, *, pauses: Pauses, jitter: float) -> list[str]:
    """Change `state` by one report; lines for the operator. `jitter`: 0 to 1, uniformly random."""
    known = report.version == state.version
    _set_right(state, now, pauses)
    _count(state, report, now)
    if report.told is not None:
        state.told, state.told_at = report.told, now
    elif not 0 <= now - state.told_at <= TOLD:
        state.told = None
    said: list[str] = []
    if state.paused and (report.admitted or (report.refused and not report.failed)):
        said += resume(state)
    if report.admitted:
        state.failures = state.refusals = 0
    if known and report.refused and _is_borne(state, report, now):
        _ease(state, report, now)
    elif known and report.refused:
        _cut(state, report, now, pauses.longest_hold, jitter)
    else:
        _grow_limit(state, report, now)
    _grow_rate(state, report, now)
    tells = known if report.barred else still_tells(state, report.version)
    if report.failed and (tells or report.probed):
        said += failed(state, report, now, pauses, jitter)
    elif report.probed and state.probe == report.worker:
        state.probe, state.probe_until = "", 0.0
    return said


def share(state: ProviderState, worker: str) -> float:
    """This worker's share of rate and limit, by what each of them wants."""
    if len(state.workers) < 2:  # as where one worker does all of it; asked twice a call
        return 1.0
    wanted = {name: max(row[1], 1.0) for name, row in state.workers.items()}
    return wanted[worker] / sum(wanted.values()) if worker in wanted else 1.0


def measured(state: ProviderState, in_flight: int, now: float) -> float | None:
    """Calls a second that were admitted of late, while calls were sent; None: too little has been seen to say."""
    since = max(now - WINDOW, min(state.held_until, now))
    if now - since < LEAST_WINDOW:
        return None
    answered = sum(number for half, number in state.admitted if half / 2 >= since)
    # After a hold nothing had been under way: what is now under way has been admitted meanwhile.
    return (answered + (in_flight if since == state.held_until else 0)) / (now - since)


def _set_right(state: ProviderState, now: float, pauses: Pauses) -> None:
    """Times later than any can be are another clock's: Redis's was set back, or this process had its own."""
    state.cut_at, state.grown_at = min(state.cut_at, now), min(state.grown_at, now)
    state.paused_since, state.answered_at = min(state.paused_since, now), min(state.answered_at, now)
    state.held_until = min(state.held_until, now + pauses.longest_hold)
    state.paused_until = min(state.paused_until, now + state.wait)
    state.probe_until = min(state.probe_until, now + PROBE)


def _count(state: ProviderState, report: Report, now: float) -> None:
    state.cut_at = state.cut_at or now
    state.workers = _present(state.workers, now)
    state.workers[report.worker] = [now, float(report.wanted)]
    state.admitted = [row for row in state.admitted if now - WINDOW - 1 <= row[0] / 2 <= now]
    state.admitted_since += report.admitted
    state.answered_at = max(state.answered_at, min(report.answered_at, now))
    _add(state.admitted, now, report.admitted)
    state.overloads = [row for row in state.overloads if now - BORNE_SECONDS <= row[0] / 2 <= now]
    _add(state.overloads, now, 0 if report.rated else report.refused)


def _add(counts: list[list[int]], now: float, number: int) -> None:
    """Count so many in the half second that it is."""
    half = int(now * 2)
    if number and counts and counts[-1][0] == half:
        counts[-1][1] += number
    elif number:
        counts.append([half, number])


def _present(workers: Mapping[str, list[float]], now: float) -> dict[str, list[float]]:
    return {name: row for name, row in workers.items() if now - GONE <= row[0] <= now + GONE}


def _is_borne(state: ProviderState, report: Report, now: float) -> bool:
    """Whether what was refused is no reason to slow down: no limit of calls was named, and most are answered."""
    answered = sum(number for half, number in state.admitted if half / 2 >= now - BORNE_SECONDS)
    refused = sum(number for _, number in state.overloads)
    return not report.rated and refused <= BORNE * (answered + refused)


def _ease(state: ProviderState, report: Report, now: float) -> None:
    """A little fewer at once, if all were used; who has too much to do refuses more and more, and is cut."""
    _grow_limit(state, report, now)
    if report.limit_used:
        state.limit = max(1.0, state.limit - EASING * report.refused)


def _cut(state: ProviderState, report: Report, now: float, longest: float, jitter: float) -> None:
    """The provider says that it is too much: slower, fewer at once when all were used, and nothing for a moment.

    What it asks for longer concerns the call that was refused, which waits that long by itself: of a single refusal
    more than a moment, since it may be that call's alone; of several in a row more than `longest`.
    """
    state.version += 1
    state.refusals += 1
    if report.rated and state.refusals == 1:
        bears = _sustained(state, report, now)
        early = state.proven and now - state.cut_at < PROVEN
        state.peak, state.rate = max(state.peak, bears) if early else bears, CUT * bears
        state.cut_at, state.admitted_since, state.held = now, 0, 0.0
    if report.limit_used:
        state.limit = state.threshold = max(1.0, LIMIT_CUT * min(state.limit, max(report.in_flight, 1)))
        state.learned = True
    if state.refusals > 1:
        state.threshold = max(state.threshold or 0.0, state.limit)
        state.limit, state.learned = 1.0, True
    pause = min(HOLD * 2.0 ** (state.refusals - 1), MOST_HOLD) * (1 + jitter / 4)
    if state.failures + report.failed >= FAILURES and (left := until_quiet(state, now)) >= 0:
        pause = min(pause, left + SOON)  # or it would be found out that it is down when the next hold is over
    longest = longest if state.refusals > 1 else min(longest, FIRST_HOLD)
    until = max(state.held_until, now + min(max(report.hold, pause), longest))
    state.held += until - max(state.held_until, now)
    state.held_until = until
    state.held_for = report.refused_for


def _sustained(state: ProviderState, report: Report, now: float) -> float:
    """The calls a second that this provider seems to bear: what it admitted of late while calls were sent, less the
    share of the time in which it refused them. As long as the rate is a guess, all since the last refusal counts.
    Where fewer were sent than might have been, what was admitted says nothing.
    """
    elapsed = max(now - state.cut_at, FIRST_WINDOW)
    overall = state.admitted_since / elapsed
    if state.rate is None:
        return max(overall, report.in_flight / min(elapsed, WINDOW), FIRST_RATE)
    if not (report.rate_used or report.limit_used):
        return state.rate
    seen = measured(state, report.in_flight, now)
    bears = overall if seen is None else seen * max(0.0, 1 - state.held / elapsed)
    state.proven = state.proven or elapsed >= PROVEN
    return max(min(state.rate, bears), state.rate * (LIMIT_CUT if state.proven else 0.1), LEAST_RATE)


def _grow_limit(state: ProviderState, report: Report, now: float) -> None:
    """While all of it is used: by as much as was answered, and, as refusals come sooner than answers do, by time."""
    elapsed, state.widened_at = min(max(now - state.widened_at, 0.0), 1.0), now
    if not report.limit_used or state.limit >= MOST_LIMIT:
        return
    if state.threshold is None or state.limit < state.threshold:
        state.limit += max(report.admitted, WIDENING * elapsed * state.limit)
    else:
        state.limit += report.admitted / state.limit * max(1.0, LIMIT_GROWTH * state.limit)
    if state.threshold is not None and state.limit > 2 * state.threshold:
        state.threshold = state.limit


def _grow_rate(state: ProviderState, report: Report, now: float) -> None:
    if state.rate is None or now < state.held_until or now <= state.grown_at:
        state.grown_at = max(state.grown_at, now)
        return
    elapsed, state.grown_at = min(now - state.grown_at, 1.0), now
    if not report.rate_used:
        return
    since = now - state.cut_at
    if not state.proven:
        faster = SEARCH
    elif state.rate < NEAR * state.peak:
        faster = RECOVERY
    else:
        faster = next(growth for until, growth in GROWTH if since <= until)
    state.rate *= (1 + faster) ** elapsed
    if state.rate > MOST_RATE:
        state.rate = None
