"""The Go client's types have the fields of the API's objects, and no others."""

import re
from typing import Any, get_type_hints

import pytest

from producer import objects
from producer.objects import batch_progress
from tests.sdk.go.module import SOURCE

#: Objects by the Go types that they are read into.
READ_INTO: dict[str, Any] = {
    "Attempt": objects.Attempt,
    "AutoTopUp": objects.AutoTopUp,
    "Balance": objects.Balance,
    "Batch": objects.Batch,
    "BatchError": batch_progress.BatchErrorGroup,
    "BatchErrors": objects.BatchErrors,
    "BatchState": objects.BatchProgress,
    "BatchesUnderWay": objects.BatchesUnderWay,
    "CallbackSecret": objects.NewCallbackSecret,
    "Cancellation": objects.JobsCancelled,
    "Charge": objects.Charge,
    "ChargeLine": objects.ChargeLine,
    "ChatChunk": objects.ChatCompletionChunk,
    "ChatCompletion": objects.ChatCompletion,
    "ChunkChoice": objects.ChunkChoice,
    "Choice": objects.Choice,
    "CompletionDetails": objects.CompletionDetails,
    "CreditDay": objects.CreditDay,
    "Deleted": objects.DeletedFile,
    "Delivery": objects.Delivery,
    "DeliveryAttempt": objects.DeliveryAttempt,
    "DryRun": objects.DryRun,
    "Embedding": objects.Embedding,
    "Embeddings": objects.Embeddings,
    "Event": objects.Event,
    "EventType": objects.EventType,
    "Expiring": objects.Expiring,
    "FailureReason": objects.Reason,
    "File": objects.File,
    "HoldLine": objects.HoldLine,
    "Images": objects.Images,
    "Invoice": objects.Invoice,
    "InvoiceLine": objects.InvoiceLine,
    "InvoiceLinks": objects.InvoiceLinks,
    "Job": objects.Job,
    "JobCount": objects.JobCount,
    "JobHold": objects.JobHold,
    "JobInput": objects.JobInput,
    "JobSummary": objects.JobSummary,
    "JobsDryRun": objects.JobsDryRun,
    "Model": objects.Model,
    "ModelCredits": objects.ModelCredits,
    "Period": objects.Days,
    "Picture": objects.Picture,
    "PromptDetails": objects.PromptDetails,
    "ProviderState": objects.ProviderProgress,
    "Redelivered": objects.Redelivery,
    "RequestCounts": objects.RequestCounts,
    "ServedBy": objects.ServedBy,
    "Spent": objects.Spent,
    "Threshold": objects.Threshold,
    "TokenUsage": objects.JobUsage,
    "Transfer": objects.Transfer,
    "UsageGroup": objects.UsageGroup,
    "UsageGroups": objects.UsageGroups,
    "UsagePoint": objects.UsagePoint,
    "UsageReport": objects.UsageReport,
    "UsageRow": objects.UsageRow,
    "UsageSeries": objects.UsageSeries,
    "Webhook": objects.NewSecret,
}
#: A type's embedded fields are written as these.
_STRUCT = re.compile(r"^type (\w+)(?:\[T any\])? struct \{\n(.*?)^\}", re.M | re.S)
_TAG = re.compile(r'^\t(?:\w+ .*|\} )`json:"(\w+)', re.M)
_EMBEDDED = re.compile(r"^\t(\w+)(?:\[\w+\])?$", re.M)


def structs() -> dict[str, str]:
    """The bodies of the client's types."""
    return {name: body for path in SOURCE.glob("*.go") for name, body in _STRUCT.findall(path.read_text("utf-8"))}


def fields_of(name: str, known: dict[str, str]) -> set[str]:
    body = known[name]
    return {*_TAG.findall(body)}.union(*(fields_of(one, known) for one in _EMBEDDED.findall(body)))


@pytest.mark.parametrize("name", READ_INTO)
def test_a_type_has_the_fields_of_its_object(name: str) -> None:
    # That it is such an object, the caller knows by the type.
    wanted = set(get_type_hints(READ_INTO[name])) - {"object"}
    assert fields_of(name, structs()) - {"object"} == wanted, f"{name} in producer/client/go"
