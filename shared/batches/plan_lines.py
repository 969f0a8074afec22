"""Lines of a batch's plan: what each job of it is made from, as text.

A plan is made by this program alone, so it is not checked again: prices and offers are fixed in it, whatever becomes of
the catalogue meanwhile.
"""

import orjson

from shared.submissions.rows import PricedSubmission

#: Columns of a line; what stands beyond them, a later release added.
PLAN_COLUMNS = 13


def planned(wanted: PricedSubmission) -> bytes:
    """A line: JSON texts have neither tabs nor line ends of their own."""
    labels, routing = wanted.labels or "", wanted.routing or ""
    linked, options = wanted.linked_context or "", wanted.answer_options or ""
    bound = str(wanted.bound_micros)
    own = (wanted.dialect or "", wanted.sent or "")
    texts = (wanted.type, wanted.provider, bound, labels, wanted.offers, wanted.request, routing, linked, *own, options)
    return b"%s\t%s\t%s\n" % (orjson.dumps(wanted.custom_id), orjson.dumps(wanted.model), "\t".join(texts).encode())


def unplanned(line: bytes) -> PricedSubmission:
    """The same line again; columns that a later release added are passed over."""
    custom_id, model, type, provider, bound, labels, offers, request, *more = line.decode().rstrip("\n").split("\t")
    # Plans of earlier releases end before these.
    routing, linked, dialect, sent, options = (text or None for text in (*more, "", "", "", "", "")[:5])
    return PricedSubmission(
        type,  # type: ignore[arg-type]
        orjson.loads(model),
        provider,
        int(bound),
        request,
        offers,
        labels or None,
        routing,
        linked,
        options,
        orjson.loads(custom_id),
        dialect=dialect,
        sent=sent,
    )
