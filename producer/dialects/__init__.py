"""Inbound adapters: one room a dialect; DIALECTS names them in mount order."""

from producer.dialects import fusionai
from producer.web.router import Router

#: Where each dialect answers. The native one also answers without its prefix, as its document shows both.
DIALECTS: tuple[tuple[str, Router], ...] = (("/v1", fusionai.router), ("", fusionai.router))
