"""Callers that go on and on while servers go away: what each was answered, and whether that could be lived with."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx

from shared import clock
from tests.conditions import await_condition
from tests.harness import Account, Stack, chat

#: What a caller is patient with, in seconds: a job runs for a third of one.
ANSWER_SECONDS = 60.0
#: Models of different providers, so that several queues are in use.
MODELS = ("gpt-3.5-turbo", "claude-3-sonnet", "gemini-pro")
_numbers = itertools.count()


class Callers:
    """Each kind in threads of its own: a call that waits, one that streams, a job. `violations` must stay empty."""

    def __init__(self, stack: Stack, account: Account, *, each: int = 2) -> None:
        self._stack, self._account = stack, account
        self._over = threading.Event()
        self._urls = [stack.url(name) for name in stack.processes if name.startswith("web")]
        self.outcomes: Counter[str] = Counter()
        self.violations: list[str] = []
        #: The longest that one waited for the acceptance of a job, in seconds.
        self.slowest = 0.0
        kinds = (self._wait, self._stream, self._submit) * each
        self._threads = [threading.Thread(target=self._go_on, args=(kind,)) for kind in kinds]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(2 * ANSWER_SECONDS)
        if kind is None:
            assert self.violations == []

    def go_on(self, more: int = 20) -> None:
        """Until so many more calls of each kind were answered well."""
        seen = self.outcomes.copy()
        kinds = ("_wait", "_stream", "_submit")

        def answered() -> bool:
            self._stack.tend()
            return all(self.outcomes[kind] >= seen[kind] + more for kind in kinds)

        await_condition(answered, seconds=2 * ANSWER_SECONDS, what=f"answers, beyond {dict(self.outcomes)}")

    def _go_on(self, kind: Callable[[httpx.Client, str, dict[str, Any]], str]) -> None:
        headers = {"Authorization": f"Bearer {self._account.live_key}"}
        with httpx.Client(headers=headers, timeout=ANSWER_SECONDS, trust_env=False) as client:
            while not self._over.is_set():
                number = next(_numbers)
                content = chat(f"call {number}", model=MODELS[number % len(MODELS)])
                try:
                    outcome = kind(client, self._urls[number % len(self._urls)], content)
                except httpx.HTTPError as error:
                    outcome = self._violation(f"{kind.__name__}: {error!r}")
                self.outcomes[kind.__name__ if outcome == "done" else outcome] += 1
                if outcome != "done":
                    self._over.wait(0.2)

    def _wait(self, client: httpx.Client, url: str, content: dict[str, Any]) -> str:
        del content["type"]
        return self._judged(client.post(f"{url}/v1/chat/completions", json=content))

    def _submit(self, client: httpx.Client, url: str, content: dict[str, Any]) -> str:
        began = clock.monotonic()
        answer = client.post(f"{url}/v1/jobs", json=content)
        self.slowest = max(self.slowest, clock.monotonic() - began)
        return self._judged(answer)

    def _stream(self, client: httpx.Client, url: str, content: dict[str, Any]) -> str:
        del content["type"]
        with client.stream("POST", f"{url}/v1/chat/completions", json={**content, "stream": True}) as answer:
            answer.read()
        outcome = self._judged(answer)
        if outcome == "done" and "data: [DONE]" not in answer.text:
            return self._violation(f"a stream ended without its end: {answer.text[-300:]}")
        return outcome

    def _judged(self, answer: httpx.Response) -> str:
        """Done; or a refusal that says when to come again, or which job goes on."""
        job = answer.headers.get("fusionai-job-id")
        if job is not None:
            self._stack.accepted.append(job)
        if answer.status_code in (200, 202):
            return "done"
        if answer.status_code in (429, 503, 504) and (job is not None or "retry-after" in answer.headers):
            return f"told {answer.status_code}"
        return self._violation(f"{answer.status_code}: {answer.text[:300]}")

    def _violation(self, said: str) -> str:
        self.violations.append(said)
        return "violation"
