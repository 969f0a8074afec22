"""Inbound adapters: one package a dialect. DIALECTS names them; the document shows them in this order."""

from producer.dialects import fusionai
from producer.web.dialect import Dialect

#: Every dialect that is served. One of them answers at the root.
DIALECTS: tuple[Dialect, ...] = (fusionai.DIALECT,)
