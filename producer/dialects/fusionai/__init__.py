"""The native dialect, under /v1 and without it, as its document shows both."""

from functools import partial

from producer.dialects.fusionai import (
    account,
    batches,
    billing,
    completions,
    events,
    files,
    invoice_documents,
    job_lists,
    jobs,
    manners,
    operator,
    purchases,
    streams,
    webhooks,
)
from producer.dialects.fusionai import (
    part as document,
)
from producer.web import rate_headers
from producer.web.dialect import Dialect
from producer.web.keys import read_key
from producer.web.router import Router

router = Router()
for part in (
    completions,
    job_lists,
    jobs,
    streams,
    files,
    batches,
    webhooks,
    events,
    account,
    billing,
    purchases,
    invoice_documents,
    operator,
):
    router.include(part.router)

DIALECT = Dialect(
    name="fusionai",
    prefixes=("/v1", ""),
    router=router,
    key_of=partial(
        read_key,
        names=("authorization",),
        missing="missing API key: send it in the header Authorization: Bearer fusionai_live_…",
    ),
    refuse=manners.refuse,
    framing=manners.framing,
    limit_headers=rate_headers.limit_headers,
    document=document.PART,
    other_names={"/images/generations": "/images"},
    bought=frozenset({"/chat/completions", "/embeddings", "/images", "/jobs", "/files", "/batches", "/invoices"}),
)
