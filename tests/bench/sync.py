"""Synchronous chat through queue, database and ledger, beside proxies that keep nothing; and jobs accepted a second.

Beside each rate stands the CPU that a request takes, by process (ours) and of all processes together (a peer's): it
says what to make cheaper, and moves less from hour to hour than a rate does.
"""

from typing import Final

import orjson

from shared.verify import verify
from tests.bench import peers
from tests.bench.contenders import BARE, OURS, WARM_SECONDS, Median, chat, contenders, count, ledger_row, ours, post
from tests.bench.peers import CHAT, LITELLM, PORTKEY
from tests.bench.stack import bench
from tests.bench.table import in_turn, note, row

CLIENTS, ACCEPT_CLIENTS = 16, 64
#: Of a peer's rate with CLIENTS clients, what ours has to reach, and the least of it.
BARS: Final = {LITELLM: (3.0, 3.0), PORTKEY: (1.0, 0.7)}
#: Of what LiteLLM adds to one client's p50.
BAR_ADDED = 0.5
BAR_ACCEPTED_PER_SECOND = 1500
JOB = orjson.dumps({"type": "chat.completion", **orjson.loads(CHAT)})


def chat_rows(base: str, seconds: int, runs: int) -> None:
    """16 clients and one, of everything that is installed."""
    with contenders(base) as (running, every):
        measures = [
            lambda contender=contender, clients=clients: chat(contender, clients, seconds)
            for clients in (CLIENTS, 1)
            for contender in every
        ]
        found = [Median.of(loads) for loads in in_turn(runs, *measures)]
        peaks = {contender.name: peers.peak_megabytes(list(contender.pids.values())) for contender in every}
        names = [contender.name for contender in every]
        _print_crowd(dict(zip(names, found[: len(names)], strict=True)), peaks)
        _print_alone(dict(zip(names, found[len(names) :], strict=True)))
        ledger_row(running)


def accept_rows(base: str, seconds: int, runs: int) -> None:
    """POST /v1/jobs, one job a request, with nobody to run them; each 202 must be a row."""
    with bench(base, workers=0, beside=("web", "sweeper"), check=False) as running:
        contender = ours(running, "/v1/jobs")
        post(contender, JOB, ACCEPT_CLIENTS, WARM_SECONDS, 202)
        loads = []
        for _ in range(runs):
            before = running.database.read_sync(count)
            loads.append(post(contender, JOB, ACCEPT_CLIENTS, seconds, 202))
            stored = running.database.read_sync(count) - before
            assert stored >= loads[-1].good, f"{loads[-1].good:,} were told 202, {stored:,} jobs are there"
        violations = running.database.read_sync(verify)
    found = Median.of(loads)
    met = found.per_second >= BAR_ACCEPTED_PER_SECOND and found.clean
    what = f"POST /v1/jobs, one job each, {ACCEPT_CLIENTS} clients, no worker: durable 202s"
    row(what, f"{found.per_second:,.0f}/s", f"{BAR_ACCEPTED_PER_SECOND:,}/s", met)
    note(str(found))
    note(found.cpu)
    row("the ledger after them: violations", f"{len(violations)}", "0", not violations)


def _print_crowd(crowd: dict[str, Median], peaks: dict[str, float]) -> None:
    for name, found in crowd.items():
        row(f"synchronous chat, {CLIENTS} clients: {name}", f"{found.per_second:,.0f}/s")
        note(f"{found}; peak memory {peaks[name]:,.0f} MB" if peaks[name] else str(found))
        if found.cpu_micros:
            note(found.cpu)
    for name in crowd:
        if name not in (OURS, BARE):
            _print_ratio(name, crowd[OURS], crowd[name])


def _print_ratio(name: str, own: Median, found: Median) -> None:
    """Ours beside a peer's: met or not; and whether the least is, where that is less."""
    times = own.per_second / found.per_second
    if name not in BARS:
        row(f"{OURS} : {name}", f"{times:.2f}")
        return
    bar, least = BARS[name]
    row(f"{OURS} : {name}", f"{times:.2f}", f"{bar:g}", times >= bar and own.clean)
    if least < bar:
        row("of it, the least that counts", f"{times:.2f}", f"{least:g}", times >= least and own.clean)


def _print_alone(alone: dict[str, Median]) -> None:
    added = {name: (found.p50 - alone[BARE].p50) * 1000 for name, found in alone.items() if name != BARE}
    for name in added:
        row(f"synchronous chat, one client, added p50: {name}", f"{added[name]:.2f} ms")
        note(f"{alone[name]}; the upstream itself p50 {alone[BARE].p50 * 1000:.2f} ms")
        note(alone[name].cpu)
    if LITELLM in added:
        times = added[OURS] / added[LITELLM]
        met = times <= BAR_ADDED and alone[OURS].clean
        row(f"{OURS} : {LITELLM}, added p50 of one client", f"{times:.2f}", f"<= {BAR_ADDED:g}", met)
