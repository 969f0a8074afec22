"""The turns in which a data hub is asked: so many calls at once, in turn over the accounts, of which none has them all.

Who asks for thousands of entities waits for them, and holds up nobody who asks for one. A call whose future has been
cancelled before its turn is not made.
"""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class HubTurns(Generic[T]):
    """`most` calls at once, each on a thread; of one account half of them at most."""

    def __init__(self, most: int) -> None:
        self._most, self._of_one = most, max(1, most // 2)
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="hub")
        self._lock = threading.Lock()
        #: By account, in the order in which it is their turn.
        self._waiting: OrderedDict[str, deque[tuple[Future[T], Callable[[], T]]]] = OrderedDict()
        self._under_way: Counter[str] = Counter()

    def submit(self, account: str, call: Callable[[], T]) -> "Future[T]":
        """What the call will return, once it is the account's turn."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting.setdefault(account, deque()).append((future, call))
            self._go_on()
        return future

    def close(self) -> None:
        """Begin no more calls; those that wait are cancelled."""
        with self._lock:
            waiting = [future for calls in self._waiting.values() for future, _ in calls]
            self._waiting.clear()
        for future in waiting:
            future.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _go_on(self) -> None:
        """Begin what may begin; under the lock."""
        while self._under_way.total() < self._most and (account := self._next()) is not None:
            future, call = self._waiting[account].popleft()
            if self._waiting[account]:
                self._waiting.move_to_end(account)
            else:
                del self._waiting[account]
            if future.set_running_or_notify_cancel():
                self._under_way[account] += 1
                self._threads.submit(self._run, account, future, call)

    def _next(self) -> str | None:
        return next((account for account in self._waiting if self._under_way[account] < self._of_one), None)

    def _run(self, account: str, future: "Future[T]", call: Callable[[], T]) -> None:
        try:
            result = call()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            with self._lock:
                self._under_way[account] -= 1
                if not self._under_way[account]:
                    del self._under_way[account]
                self._go_on()
