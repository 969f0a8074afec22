"""Whose turn it is to send: accounts in turn, of an account its hosts in turn, of a host whoever waits the longest.

So many sends at once, and of these an account and a host only a share. Who waits holds nothing meanwhile: a send that
its account's share keeps waiting takes no place at its host from other accounts.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

#: Whether its place was taken; False: it was left before.
_Turn = asyncio.Future[bool]
#: Who waits at one host for one account.
_Waiters = deque[_Turn]


@dataclass(slots=True)
class DeliveryTurns:
    """The places of one kind of webhook: `take`, and `give` afterwards.

    Whenever nothing runs, nobody waits who could have a place: so whoever finds one may have it at once.
    """

    most: int
    most_of_account: int
    most_of_host: int
    taken: int = 0
    of_account: Counter[str] = field(default_factory=Counter)
    of_host: Counter[str] = field(default_factory=Counter)
    #: Who waits, by account and host, each in its turn; and at which host which accounts wait, in theirs.
    _waiting: OrderedDict[str, OrderedDict[str, _Waiters]] = field(default_factory=OrderedDict)
    _at_host: dict[str, OrderedDict[str, None]] = field(default_factory=dict)

    def has_room(self, account: str, host: str) -> bool:
        """Whether there is a place for a send of this account to this host."""
        return (
            self.taken < self.most
            and self.of_account[account] < self.most_of_account
            and self.of_host[host] < self.most_of_host
        )

    async def take(self, account: str, host: str) -> None:
        """Wait for a place."""
        if self.has_room(account, host):
            self.seize(account, host)
        else:
            await self.wait(account, host, self.queue(account, host))

    def queue(self, account: str, host: str) -> _Turn:
        """Begin to wait for a place; `wait` is to be awaited next."""
        turn: _Turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account, OrderedDict()).setdefault(host, deque()).append(turn)
        self._at_host.setdefault(host, OrderedDict())[account] = None
        return turn

    async def wait(self, account: str, host: str, turn: _Turn) -> bool:
        """Wait until the turn comes, with which its place is taken; False when it was left meanwhile."""
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._remove(account, host, turn)
            elif turn.result():
                self.give(account, host)
            raise

    def leave(self, account: str, host: str, turn: _Turn) -> None:
        """Wait no longer, unless the turn has come."""
        if not turn.done():
            self._remove(account, host, turn)
            turn.set_result(False)

    def _remove(self, account: str, host: str, turn: _Turn) -> None:
        if account in self._waiting and turn in self._waiting[account].get(host, ()):
            self._waiting[account][host].remove(turn)
            self._forget_if_empty(account, host)

    def seize(self, account: str, host: str) -> None:
        """Take a place that there may not be: who waits, waits the longer."""
        self.taken += 1
        self.of_account[account] += 1
        self.of_host[host] += 1

    def give(self, account: str, host: str) -> None:
        """Leave a place to whose turn it is, of those who waited for just this one."""
        were_full = self.taken >= self.most
        self.taken -= 1
        for counted, name in ((self.of_account, account), (self.of_host, host)):
            counted[name] -= 1
            if not counted[name]:
                del counted[name]
        if were_full:
            self._next()
        else:  # then only those wait whom their account's share or their host's keeps waiting
            self._next_at_host(host)
            self._next_of_account(account)

    def _next(self) -> None:
        """Let one in: of the next account that may have one more."""
        for _ in range(len(self._waiting) if self.taken < self.most else 0):
            account = next(iter(self._waiting), "")
            if not account or self._next_of_account(account):
                return
            if account in self._waiting:
                self._waiting.move_to_end(account)

    def _next_of_account(self, account: str) -> bool:
        """Let one of this account in, at the next host that may have one more."""
        return any(self._let_in(account, host) for host in list(self._waiting.get(account, ())))

    def _next_at_host(self, host: str) -> None:
        """Let one in at this host, of the next account that may have one more."""
        any(self._let_in(account, host) for account in list(self._at_host.get(host, ())))

    def _let_in(self, account: str, host: str) -> bool:
        """Let in who has waited there the longest, if there is a place; then others have their turn before."""
        waiting = self._waiting[account][host]
        while waiting and self.has_room(account, host):
            turn = waiting.popleft()
            if not turn.done():  # a task that was cancelled and has not run since
                self.seize(account, host)
                turn.set_result(True)
                self._waiting.move_to_end(account)
                self._waiting[account].move_to_end(host)
                self._at_host[host].move_to_end(account)
                self._forget_if_empty(account, host)
                return True
        self._forget_if_empty(account, host)
        return False

    def _forget_if_empty(self, account: str, host: str) -> None:
        if self._waiting[account][host]:
            return
        del self._waiting[account][host], self._at_host[host][account]
        if not self._waiting[account]:
            del self._waiting[account]
        if not self._at_host[host]:
            del self._at_host[host]
