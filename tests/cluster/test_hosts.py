"""Two hosts, one of which is cut off for a while: nothing is lost, done twice or held up, and it takes part again."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from shared import clock
from tests.chaos.processes import prefixed
from tests.cluster.certificates import Authority
from tests.cluster.hosts import BEAT_SECONDS, LEASE_SECONDS, ON_B, PROBE_SECONDS, HostsStack
from tests.cluster.network import BROKER, DATABASE, PROVIDERS, REDIS, Network
from tests.cluster.programs import forbidden
from tests.cluster.rabbitmq import Place, RabbitCluster
from tests.cluster.redis import SecureRedis
from tests.harness import Account, chat, line
from tests.servers import PostgresServer

pytestmark = pytest.mark.timeout(600)

WORKERS_OF_B = ("worker8", "worker9")
#: The exit status of a worker whose lease is over.
LEASE_OVER = 75
#: A cut that nobody's lease ends of: TCP, which sends again after pauses that double, may need as long again.
SHORT_SECONDS = LEASE_SECONDS / 6
#: What a sweeper takes beyond a lease to take jobs back: it has watched the whole of one.
LATE_SECONDS = 5 * BEAT_SECONDS
#: For how long the locks of a connection that has gone silent may stand in the way of others.
LOCKS_SECONDS = 12.0
#: Until host b's web process refuses what it cannot do.
REFUSED_SECONDS = 30.0
#: Until a host that is connected again works as before.
BACK_SECONDS = 45.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostsStack]:
    """Two hosts, and all that they stand on; what fails in one test may fail in the next."""
    assert not (why := forbidden()), why
    directory = tmp_path_factory.mktemp("hosts")
    authority, postgres = Authority(directory), PostgresServer()
    with Network() as network, ExitStack() as closing:
        closing.callback(postgres.stop)
        postgres.listen(DATABASE)
        rabbit = RabbitCluster(directory / "rabbitmq", [Place(BROKER)], authority=authority)
        redis = SecureRedis(directory / "redis", authority, address=REDIS)
        closing.callback(rabbit.close)
        closing.callback(redis.stop)
        rabbit.start()
        servers = {"BROKER_URL": rabbit.url(), "REDIS_URL": redis.start().url, "CA_FILE": str(authority.ca)}
        with HostsStack(directory, network, postgres.migrated(), redis, prefixed(servers)) as stack:
            yield stack


@pytest.fixture
def account(stack: HostsStack) -> Account:
    """A customer of one test."""
    return stack.open_account()


@pytest.fixture(autouse=True)
def kept(stack: HostsStack, account: Account) -> Iterator[None]:
    """Afterwards both hosts work, and every promise is kept; no provider was asked a third time."""
    stack.script({"fault": {"latency_seconds": 3.0}, "contains": "slow"})
    yield
    stack.until(lambda: all(map(stack.up, ON_B)), seconds=BACK_SECONDS, what="host b's processes to be back")
    took_part(stack, account)
    stack.quiet()
    stack.check()
    assert stack.most_called() <= 2


def test_cut_off_for_longer_than_a_lease(stack: HostsStack, account: Account) -> None:
    batch = stack.submit_batch(account, [line(f"line {number}") for number in range(300)])
    stack.until(lambda: at_work(stack, account), what="host b's workers to run jobs")
    theirs = stack.incarnations(*WORKERS_OF_B)
    cut = clock.monotonic()
    stack.cut()
    stack.submit(account, [chat(f"later {number}") for number in range(20)])
    stack.until(lambda: not stack.held_by(theirs), what="host b's jobs to be taken back")
    told(stack, "its jobs taken back after", cut, LEASE_SECONDS + LATE_SECONDS)
    stack.await_all_terminal()
    stack.await_batch(batch)
    told(stack, "all jobs and the batch ended after", cut)
    refuses(stack, account)
    stack.until(lambda: all(LEASE_OVER in stack.ends(name) for name in WORKERS_OF_B), what="its workers to end")
    told(stack, "its workers ended after", cut)
    back(stack)


def test_cut_off_for_less_than_a_lease(stack: HostsStack, account: Account) -> None:
    before, ends = stack.counter("jobs_taken_back"), stack.ends(*ON_B)
    batch = stack.submit_batch(account, [line(f"line {number}") for number in range(100)])
    stack.until(lambda: at_work(stack, account), what="host b's workers to run jobs")
    stack.cut()
    lapse(stack, SHORT_SECONDS)
    back(stack)
    stack.await_all_terminal()
    stack.await_batch(batch)
    assert stack.counter("jobs_taken_back") == before
    assert stack.ends(*ON_B) == ends


@pytest.mark.parametrize("arrives", [False, True], ids=["both-ways", "its-answers"])
def test_cut_off_from_the_database_in_a_settlement(stack: HostsStack, account: Account, arrives: bool) -> None:
    """Its transaction is open, with the account's row locked: the account's other jobs go on, and it pays once."""
    other = stack.open_account()
    stack.terminate("worker9")
    halted = stack.halt_at("worker8", "settle.before_commit")
    stack.until(lambda: halted.exists() or settled_without(stack, account), what="host b to halt in a settlement")
    theirs, called = stack.incarnations("worker8"), stack.calls(hosts="b")
    cut = clock.monotonic()
    stack.cut(DATABASE, arrives=arrives)
    halted.unlink()  # its COMMIT is sent, and is lost, or only what is said to it
    stack.submit(account, [chat("after the cut")])
    told(stack, "another job of the account accepted after", cut, LOCKS_SECONDS)
    stack.submit(other, [chat(f"another's {number}") for number in range(5)])
    stack.await_all_terminal()
    told(stack, "all jobs ended after", cut, LOCKS_SECONDS + LEASE_SECONDS + LATE_SECONDS)
    assert not stack.held_by(theirs)
    assert stack.calls(hosts="b") == called, "nobody there may call any more"
    stack.start("worker9")
    back(stack)


def test_an_answer_that_comes_after_its_job_was_taken_back(stack: HostsStack, account: Account) -> None:
    """A worker that is held up in a settlement, cut off, and connected again once its job has ended elsewhere."""
    stack.terminate("worker9")
    halted = stack.halt_at("worker8", "settle.before_commit")
    stack.until(lambda: halted.exists() or settled_without(stack, account), what="host b to halt in a settlement")
    before, ends = stack.counter("stale_answers_refused"), stack.ends("worker8")
    stack.cut(DATABASE)
    stack.await_all_terminal()
    stack.heal()
    halted.unlink()

    def over() -> bool:
        return stack.counter("stale_answers_refused") > before or stack.ends("worker8") != ends

    stack.until(over, what="its answer to be refused, or its end")
    print(f"{stack.counter('stale_answers_refused') - before} late answers refused, {stack.ends('worker8')}")
    stack.start("worker9")
    back(stack)


@pytest.mark.parametrize(
    "services",
    [(REDIS,), (BROKER,), (REDIS, BROKER), (PROVIDERS,)],
    ids=["redis", "broker", "redis-and-broker", "providers"],
)
def test_cut_off_from_all_but_the_database(stack: HostsStack, account: Account, services: tuple[str, ...]) -> None:
    """It goes on from the rows; of what it asked a provider it hears later."""
    ends = stack.ends(*ON_B)
    stack.submit(account, [chat(f"slow {number}") for number in range(20)])
    cut = clock.monotonic()
    stack.b.cut(*services)
    stack.submit(account, [chat(f"during {number}") for number in range(20)])
    if PROVIDERS in services:
        lapse(stack, LEASE_SECONDS)
    else:
        stack.await_all_terminal()
        told(stack, "all jobs ended after", cut)
        assert stack.probe()[0] == 200, "without them it is ready"
    stack.heal()
    stack.await_all_terminal()
    told(stack, "all jobs ended after", cut)
    assert stack.ends(*ON_B) == ends


def test_the_product_itself_finds_nothing_wrong(stack: HostsStack) -> None:
    stack.verify()


def at_work(stack: HostsStack, account: Account) -> bool:
    """Whether host b's workers run slow jobs; gives both hosts some: whose a list is, is the broker's to say."""
    if not stack.held(*WORKERS_OF_B):
        stack.submit(account, [chat(f"slow {clock.new_id('job')}") for _ in range(10)])
        return False
    slow = "SELECT count(*) FROM jobs WHERE status = 'running' AND batch_id IS NULL AND worker_id = ANY(:ids)"
    return bool(stack.rows(slow, ids=stack.incarnations(*WORKERS_OF_B))[0][0])


def settled_without(stack: HostsStack, account: Account) -> None:
    """Give both hosts something to settle, when there is nothing."""
    if not stack.rows("SELECT 1 FROM jobs WHERE status IN ('queued', 'running') LIMIT 1"):
        stack.submit(account, [chat(f"settled {clock.new_id('job')}") for _ in range(20)])


def refuses(stack: HostsStack, account: Account) -> None:
    """Host b's web process says that it is not ready, and takes nothing."""
    status, seconds = stack.probe()
    print(f"readyz said {status} after {seconds:.1f} s")
    assert status == 503 and seconds < PROBE_SECONDS
    status, seconds = stack.probe("/v1/jobs", account.live_key, json=chat("nobody takes this"))
    print(f"a job was answered {status} after {seconds:.1f} s")
    assert status == 503 and seconds < REFUSED_SECONDS


def back(stack: HostsStack) -> None:
    """Connect host b again, until its web process is asked as well."""
    healed = clock.monotonic()
    stack.heal()
    stack.balance(seconds=BACK_SECONDS)
    told(stack, "its web process ready after", healed, BACK_SECONDS)


def took_part(stack: HostsStack, account: Account) -> None:
    """Host b's workers call providers again, within the time that it has."""
    began, calls = clock.monotonic(), stack.calls(hosts="b")

    def called() -> bool:
        stack.submit(account, [chat(f"again {clock.new_id('job')}")])
        return stack.calls(hosts="b") > calls

    stack.until(called, seconds=BACK_SECONDS, what="host b's workers to call providers again")
    told(stack, "its workers call again after", began, BACK_SECONDS)


def told(stack: HostsStack, what: str, since: float, within: float | None = None) -> None:
    """Print how long something took, which must not be longer than that."""
    seconds = clock.monotonic() - since
    print(f"{what} {seconds:.1f} s")
    assert within is None or seconds < within, f"{what} {seconds:.1f} s: {stack.state()}"


def lapse(stack: HostsStack, seconds: float) -> None:
    """Let a moment pass."""
    until = clock.monotonic() + seconds
    stack.until(lambda: clock.monotonic() > until, what="a moment")
