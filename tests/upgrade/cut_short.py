"""Two calls that are under way at a web process when it is told to stop, and take longer than it then has."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import httpx

from tests.acceptance.sse import Event, added_up, events
from tests.harness import Account, chat
from tests.upgrade.load import Load, outcome
from tests.upgrade.stack import Upgrade


class CutShort:
    """A synchronous call, and a streamed one; `check` what came of them when the process has ended."""

    def __init__(self, stack: Upgrade, load: Load, account: Account, name: str) -> None:
        self._stack, self._load, self._url = stack, load, stack.url(name)
        self._headers = {"Authorization": f"Bearer {account.live_key}"}
        self._spoke = threading.Event()
        self._calls = ThreadPoolExecutor(2)
        self._waiting: Future[httpx.Response] = self._calls.submit(self._wait, f"at length, of {name}")
        self._streaming: Future[list[Event]] = self._calls.submit(self._stream)
        self._stack.until(self._under_way, what="two calls under way")

    def _under_way(self) -> bool:
        running = "SELECT count(*) FROM jobs JOIN job_payloads ON job_id = id WHERE request LIKE '%at length, of%'"
        return self._spoke.is_set() and bool(self._stack.rows(f"{running} AND status = 'running'")[0][0])

    def _wait(self, content: str) -> httpx.Response:
        return httpx.post(self._url + "/v1/chat/completions", json=_body(content), headers=self._headers, timeout=60)

    def _stream(self) -> list[Event]:
        found: list[Event] = []
        with httpx.stream(
            *("POST", self._url + "/v1/chat/completions"),
            json=_body("at length, streamed", stream=True),
            headers=self._headers | {"fusionai-stream-ids": "true"},
            timeout=60,
        ) as response:
            assert response.status_code == 200
            self.streamed = self._load.took(response)
            for event in events(response):
                found.append(event)
                if len(found) == 2:
                    self._spoke.set()
        return found

    def check(self) -> None:
        """Both were told which job goes on; the stream is read on at another process, from where it was cut."""
        answer = self._waiting.result(60)
        assert outcome(answer) == "goes on" and answer.status_code == 504, answer.text
        self._load.finished(self._load.took(answer))
        *before, last = self._streaming.result(60)
        said = last.json["error"]
        assert said["job_id"] == self.streamed and said["code"] == 503, said
        whole = [event.json for event in (*before, *self._rest(said["last_event_id"]))]
        assert added_up(whole) == self._load.finished(self.streamed)["result"]["choices"]
        self._calls.shutdown()

    def _rest(self, after: str) -> list[Event]:
        headers = self._headers | {"Last-Event-ID": after}
        url = f"{self._load.url}/v1/jobs/{self.streamed}/stream"
        with httpx.stream("GET", url, headers=headers, timeout=60, trust_env=False) as response:
            assert response.status_code == 200, response.read()
            found = list(events(response))
        assert found[-1].data == "[DONE]", found
        return [event for event in found[:-1] if event.json["choices"]]


def _body(content: str, **more: object) -> dict[str, object]:
    return {name: value for name, value in chat(content, **more).items() if name != "type"}
