"""The catalogue of event types: complete, and true to the documents' examples, which real events are."""

import json
import re
from pathlib import Path

from producer import objects
from producer.operations.event_types import list_event_types
from shared.webhooks import events
from tests import event_shapes
from tests.contract import check_object


def test_each_type_is_there_with_an_example_of_its_own() -> None:
    page = list_event_types()
    assert [one["id"] for one in page["data"]] == list(events.TYPES) and not page["has_more"]
    for one in page["data"]:
        check_object("EventType", one)
        check_object("Event", one["example"])
        assert one["example"]["type"] == one["id"] and one["description"].endswith(".")
    assert json.loads(json.dumps(page)) == page and objects.EventType.__doc__


def test_what_the_documents_show_is_shaped_alike() -> None:
    text = (Path(__file__).parents[2] / "deploy" / "events-and-errors.md").read_text()
    shown = [json.loads(body) for body in re.findall(r"^    (\{.*\"object\":\"event\".*\})$", text, re.M)]
    assert [body["type"] for body in shown] == list(events.TYPES)
    assert [fault for body in shown for fault in event_shapes.faults(body["type"], body["data"])] == []


def test_a_body_that_is_shaped_otherwise_is_found() -> None:
    data = {"credits": 1, "expires": 5}
    assert len(event_shapes.faults("credit.expiring", data)) == 2
    assert event_shapes.faults("credit.expiring", {"credits": 1, "expires_at": 5}) == []
