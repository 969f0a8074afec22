"""A dialect of the tests: own key header, own refusals, own frames, own part of the document, all in this package."""

from functools import partial

from producer.admission.limits.rates import Dimension
from producer.web.dialect import Dialect
from producer.web.keys import read_key
from tests.integration.example_dialect import document, manners, routes

EXAMPLE = Dialect(
    name="example",
    prefixes=("/example/v2",),
    bases=("/api",),
    hosts=("example.test",),
    router=routes.router,
    key_of=partial(read_key, names=("x-example-key",), missing="send your key as X-Example-Key"),
    refuse=manners.refuse,
    framing=manners.Frames,
    limit_headers=manners.limit_headers,
    answer_headers=manners.answer_headers,
    dress=manners.dress,
    document=document.PART,
    dimensions=(Dimension(lambda holder: f"example.{holder.key_id}", lambda holder: 1000, 3600.0),),
    bought=frozenset({"/example/v2/say"}),
)
