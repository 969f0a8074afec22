"""The native dialect, under /v1 and without it."""

from producer.dialects.fusionai import account, batches, billing, completions, files, jobs, streams, webhooks
from producer.web.router import Router

router = Router()
for part in (completions, jobs, streams, files, batches, webhooks, account, billing):
    router.include(part.router)
