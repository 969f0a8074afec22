"""The SDK's objects are those of the API: written from them, and not changed by hand."""

import typing

import pytest
from typing_extensions import is_typeddict

import fusionai.objects
from deploy import client_objects
from fusionai.objects import Object
from producer import objects


@pytest.mark.parametrize("name, write", [("objects", "models"), ("plain/objects", "dictionaries")])
def test_they_are_as_written(name: str, write: str) -> None:
    wanted = client_objects.formatted(getattr(client_objects, write)())
    assert (client_objects.PACKAGE / f"{name}.py").read_text() == wanted, "python -m deploy.client_objects"


def test_every_object_that_a_call_answers_with_is_there() -> None:
    """But for what only other dialects, lists, streams and the operator have."""
    apart = {"List", "JobPage", "StreamError", "StreamFault", "Healthy", "Ready", "NotReady", "Stopping", "Received"}
    apart |= {"ChatCompletionChunk", "ChunkChoice", "Queue", "Worker", "Quoted", "Afforded", "Flags"}
    known = {name for name, one in vars(objects).items() if is_typeddict(one)} - apart
    assert known <= set(client_objects.found())


@pytest.mark.parametrize("name", client_objects.found())
def test_a_model_has_the_fields_of_its_object_by_the_names_in_json(name: str) -> None:
    kind: type[Object] = getattr(fusionai.objects, name)
    fields = {field.alias or field_name for field_name, field in kind.model_fields.items()}
    assert fields == set(typing.get_type_hints(client_objects.found()[name]))
