"""The native dialect, under /v1 and without it."""

from fastapi import APIRouter

from producer.dialects.fusionai import account, jobs, webhooks

router = APIRouter()
for part in (jobs, webhooks, account):
    router.include_router(part.router)
