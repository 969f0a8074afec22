"""The official SDK, behind a line that is cut: what it repeats by itself is answered, and not bought again."""

from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from tests.acceptance.stack import Account


class Cut(httpx2.BaseTransport):
    """Loses so many answers of POSTs, after the server has given them."""

    def __init__(self, cuts: int) -> None:
        self._inner = httpx2.HTTPTransport()
        self.left, self.counts = cuts, list[str]()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._inner.handle_request(request)
        if request.method == "POST":
            self.counts.append(request.headers["x-stainless-retry-count"])
            if self.left:
                self.left -= 1
                response.close()
                raise httpx2.RemoteProtocolError("the line was cut", request=request)
        return response

    def close(self) -> None:
        self._inner.close()


def sdk(account: Account, line: Cut) -> OpenAI:
    client = httpx2.Client(transport=line, timeout=40)
    return OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key, http_client=client, max_retries=2)


MESSAGES: list[Any] = [{"role": "user", "content": "once"}]
CALLS: dict[str, Callable[[OpenAI], Any]] = {
    "chat": lambda it: it.chat.completions.create(model="gpt-4", messages=MESSAGES, max_tokens=9).choices[0].message,
    "stream": lambda it: [
        chunk.choices[0].delta.content
        for chunk in it.chat.completions.create(model="gpt-4", messages=MESSAGES, max_tokens=9, stream=True)
    ],
    "embeddings": lambda it: it.embeddings.create(model="text-embedding-3-large", input="a").data[0].embedding,
    "image": lambda it: it.images.generate(model="image-gen-2", prompt="a cat").data,
}


@pytest.mark.parametrize("what", CALLS)
def test_a_lost_answer_is_given_again_and_bought_once(account: Account, what: str) -> None:
    line = Cut(2)
    with sdk(account, line) as client:
        assert CALLS[what](client)
        assert line.counts == ["0", "1", "2"]
        charges = [one for one in account.live.get("/credits/transfers").json()["data"] if one["kind"] == "charge"]
        assert len(account.live.get("/jobs").json()["data"]) == 1 and len(charges) == 1
        assert CALLS[what](client)
    assert len(account.live.get("/jobs").json()["data"]) == 2


def test_files_and_batches_are_made_once(account: Account) -> None:
    body = '{"model":"gpt-4","messages":[{"role":"user","content":"hi"}],"max_tokens":5}'
    line = f'{{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{body}}}\n'
    with sdk(account, Cut(1)) as client:
        file = client.files.create(file=("a.jsonl", line.encode()), purpose="batch")
        assert [one.id for one in client.files.list().data] == [file.id]
    with sdk(account, Cut(1)) as client:
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
        )
        assert [one.id for one in client.batches.list().data] == [batch.id]


def test_without_a_retry_nothing_is_repeated(account: Account) -> None:
    with sdk(account, Cut(1)).with_options(max_retries=0) as client, pytest.raises(openai.APIConnectionError):
        CALLS["chat"](client)
    with sdk(account, Cut(0)) as client:
        CALLS["chat"](client)
    assert len(account.live.get("/jobs").json()["data"]) == 2
