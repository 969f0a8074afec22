"""Inbound adapters: one package a dialect. DIALECTS names them; the document shows them in this order.

A new one is a package here: its routes, each with its row (`producer.web.router`), and a `producer.web.dialect.Dialect`
that says where it answers, which header has the key, how a refusal and a stream look, and its part of the document. Add
it to DIALECTS. `tests/integration/example_dialect` is a whole one.
"""

from producer.dialects import euqai, fluence, fusionai, fusionbase, infuzu, messages, responses
from producer.web.dialect import Dialect

#: Every dialect that is served. One of them answers at the root.
DIALECTS: tuple[Dialect, ...] = (
    fusionai.DIALECT,
    responses.DIALECT,
    messages.DIALECT,
    infuzu.DIALECT,
    fluence.DIALECT,
    fusionbase.DIALECT,
    euqai.DIALECT,
)
