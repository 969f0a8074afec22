"""A class's name means one thing: a public one is defined once in producer, workers and shared."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: The objects of the API once more, under the names that they have there, written by `python -m deploy.client_objects`.
GENERATED = {ROOT / "producer/client/python/fusionai" / name for name in ("objects.py", "plain/objects.py")}
#: Defined twice, and why. What users of the SDK import, or the OpenAPI document has, keeps its name.
TWICE = {
    "ApiError": "the API refused a call: of the SDK, and of the console, which calls it in its own process",
    "BatchResult": "an object of the API, and what the SDK's `batch` yields of it",
    "Jobs": "an object of the API, and the SDK's `client.jobs`",
    "Response": "an object of the API, and what the SDK reads of any HTTP response",
    "StreamError": "an object of the API, and the SDK's exception of it",
    "UnexpectedAnswerError": "the answer is none of this API's: the SDK's exception, and what the command says of it",
    "UpstreamError": "a 502: the server's error, and the SDK's exception of it",
    "Webhooks": "the account's webhooks, of the SDK's two clients: `fusionai` and `fusionai.plain`",
}

_CLASS = re.compile(r"^ *class ([A-Za-z]\w*)[(:]", re.M)


def test_a_public_class_name_is_defined_once() -> None:
    paths = {path for top in ("producer", "workers", "shared") for path in (ROOT / top).rglob("*.py")}
    found = Counter(
        name
        for path in paths - GENERATED
        if "node_modules" not in path.parts
        for name in _CLASS.findall(path.read_text())
    )
    assert {name: times for name, times in found.items() if times > 1} == dict.fromkeys(TWICE, 2)
