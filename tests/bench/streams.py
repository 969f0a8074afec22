"""Many streams at the same time, 50 tokens a second each, beside the same client straight at the upstream.

Ours is what `fusionai up` runs: one web process, one worker, a sweeper, Redis, durable SQLite. Upstream and client are
processes of their own, on the same cores. A token that waits for a crowd may come together with the one after it.
"""

from typing import Final

import orjson
import redis

from shared.accounts import set_requests_per_minute
from shared.money.plans import MOST_REQUESTS_PER_MINUTE
from tests.bench.peers import CHAT
from tests.bench.stack import Bench, bench
from tests.bench.stream_load import Streams, percentile, streams
from tests.bench.stream_upstream import PER_SECOND, stream_upstream
from tests.bench.table import note, row

JSON: Final = {"Content-Type": "application/json"}
MOST_ADDED_SECONDS, MOST_GAP_SECONDS = 0.020, 1.0
#: Opened in a second: so many do not make a storm of the beginning.
PER_SECOND_OPENED = 60
WARM, WARM_TOKENS = 20, 50
#: Tokens that the upstream writes at once, where it and the client would else need most of the machine themselves.
TOGETHER: Final = {300: 5, 1000: 5}


def streams_rows(counts: tuple[int, ...], seconds: float) -> None:
    """So many streams at once, for so many seconds."""
    for count in counts:
        ramp = max(count / PER_SECOND_OPENED, 1.0)
        tokens = int((ramp + seconds) * PER_SECOND)
        with stream_upstream(TOGETHER.get(count, 1)) as (base, upstream_pid):
            url = f"{base}/v1/chat/completions"
            straight = streams(url, JSON, body(tokens), count, tokens, ramp, {"upstream": upstream_pid})
            with bench(base, beside=("web", "sweeper"), FUSIONAI_SLOTS_REALTIME=str(count + WARM)) as running:
                ours = _ours(running, upstream_pid, count, tokens, ramp)
        _print(count, ours, straight)


def _ours(running: Bench, upstream_pid: int, count: int, tokens: int, ramp: float) -> Streams:
    customer = running.customer
    running.database.write_sync(set_requests_per_minute, customer.holder.account_id, MOST_REQUESTS_PER_MINUTE)
    with redis.Redis(port=running.redis.port) as broker:
        pids = {"redis": broker.info("server")["process_id"], "upstream": upstream_pid}
    pids |= {name.rstrip("0"): process.pid for name, process in running.processes.items()}
    headers = {**JSON, "Authorization": f"Bearer {customer.key}"}
    url = f"{running.web}/v1/chat/completions"
    streams(url, headers, body(WARM_TOKENS), WARM, WARM_TOKENS, 1.0, {})
    found = streams(url, headers, body(tokens), count, tokens, ramp, pids)
    running.await_done(60)
    return found


def body(tokens: int) -> bytes:
    """A streamed chat; the upstream answers it by so many tokens."""
    return orjson.dumps({**orjson.loads(CHAT), "stream": True, "max_tokens": tokens})


def _print(count: int, ours: Streams, straight: Streams) -> None:
    p50, p99 = ((ours.first_at(at) - straight.first_at(at)) for at in (50, 99))
    what = f"{count:,} streams of {PER_SECOND} tokens a second"
    row(f"{what}: first token added, p50", f"{p50 * 1000:.1f} ms", "20 ms", p50 <= MOST_ADDED_SECONDS)
    if together := TOGETHER.get(count):
        note(f"the upstream writes {together} tokens at once")
    note(f"p99 {p99 * 1000:.1f} ms; straight p50 {straight.first_at(50) * 1000:.1f} ms")
    gap = max(ours.gaps, default=0.0)
    row("the longest gap between two events of a stream", f"{gap:.3f} s", "1 s", gap <= MOST_GAP_SECONDS)
    gaps, theirs = percentile(ours.gaps, 50), max(straight.gaps, default=0.0)
    note(f"of half of the streams at most {gaps:.3f} s; straight {theirs:.3f} s")
    row("streams that were not whole", f"{ours.broken:,}", "0", not ours.broken)
    note(f"{dict(ours.faults)}; straight {straight.broken:,}")
    row("tokens a second while all are open", f"{ours.per_second:,.0f}/s")
    note(f"in {ours.receipts:,.0f} receipts; straight {straight.per_second:,.0f}/s in {straight.receipts:,.0f}")
    micros = ", ".join(f"{name} {used:.1f}" for name, used in ours.cpu_micros.items())
    row("CPU of all processes a token", f"{sum(ours.cpu_micros.values()):.1f} us")
    note(f"{micros}; straight: " + ", ".join(f"{name} {used:.1f}" for name, used in straight.cpu_micros.items()))
