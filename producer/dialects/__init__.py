"""Inbound adapters: one room a dialect; DIALECTS names them in mount order."""

from fastapi import APIRouter

from producer.dialects import fusionai

#: Where each dialect answers. The native one also answers without its prefix, as its document shows both.
DIALECTS: tuple[tuple[str, APIRouter], ...] = (("/v1", fusionai.router), ("", fusionai.router))
