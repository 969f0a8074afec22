"""The native dialect, under /v1 and without it."""

from fastapi import APIRouter

from producer.dialects.fusionai import account, batches, billing, completions, files, jobs, streams, webhooks

router = APIRouter()
for part in (completions, jobs, streams, files, batches, webhooks, account, billing):
    router.include_router(part.router)
