"""Quotes jobs that take several calls: what their steps may cost, and who may serve them, fixed at acceptance."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from shared.errors import InvalidRequest
from shared.money.pricing import Amount
from shared.submissions import picture_tokens, web_search
from shared.submissions.catalogue import Catalogue, CatalogueModel
from shared.submissions.offers import Offer
from shared.submissions.schemas import Submission, image_urls
from shared.submissions.steps import conductors
from shared.submissions.steps.conducting import Asked, Step
from shared.submissions.steps.course import StepCourse, with_course
from shared.submissions.steps.grounding import FIELD, SEARCH


def ways(
    submission: Submission, whole: Amount, catalogue: Catalogue, model: CatalogueModel, at: str
) -> Sequence[Sequence[Amount]]:
    """Every way that the calls of a request may go at a model, each as the worst case of each of its calls.

    `whole`: the worst case of a single call, which most requests are. A 400 names what the conductor cannot do.
    """
    name = _conductor(submission, model)
    if not name:
        return [[whole]]
    asked, conductor = _asked(submission, model), conductors.CONDUCTORS[name]
    if submission.request.get(FIELD):
        web_search.check(at)
    for place, why in conductor.refused(asked):
        raise InvalidRequest(f"{at}{place}: {why}", param=f"{at}{place}")
    pictures = 0
    if image_urls(submission.request):
        usual = catalogue.overheads.image
        pictures = picture_tokens.bound(
            submission.request, usual=usual, most=model.image_tokens, details=model.image_details
        )
    text = replace(whole, input_tokens=whole.input_tokens - pictures)
    return conductor.worst(asked, text, whole, catalogue.overheads)


def added(submission: Submission, offers: Sequence[Offer], catalogue: Catalogue) -> list[Offer]:
    """The offers of a request, the first with the course of a job that takes several calls."""
    first = offers[0]
    model = catalogue.models[first.model]
    name = _conductor(submission, model)
    if not name:
        return list(offers)
    roles = model.conductor.roles if model.conductor else {}
    serving = {role: _serving(catalogue, id) for role, id in roles.items()}
    if submission.request.get(FIELD):
        serving[SEARCH] = list(web_search.offers())
    course = StepCourse(name, serving, dict(model.defaults), "")
    step = conductors.CONDUCTORS[name].next_step(_asked(submission, model), ())
    assert isinstance(step, Step)
    return with_course(offers, replace(course, first=course.served_by(step.role, offers)[0].provider))


def check_alone(submission: Submission, catalogue: Catalogue, at: str) -> None:
    """A model that has a conductor of its own serves those who ask for it, and is nobody's fallback; else a 400."""
    asked = catalogue.models.get(submission.model)
    fallbacks = submission.routing.fallbacks or ()
    for index, name in enumerate(fallbacks):
        found = catalogue.models.get(name)
        if (asked is not None and asked.conductor) or (found is not None and found.conductor):
            which = asked.id if asked is not None and asked.conductor else name
            place = f"{at}routing.fallbacks[{index}]"
            raise InvalidRequest(f"{place}: {which} can neither have nor be a fallback", param=place)


def for_tests(offer: Offer, provider: str) -> Offer:
    """The one offer of a test key, and those of its course: a provider that costs nothing."""
    free = replace(offer, provider=provider, bound_micros=0)
    if offer.course is None:
        return free
    roles = {role: [{**served[0], "provider": provider}] for role, served in offer.course["roles"].items()}
    return replace(free, course={**offer.course, "roles": roles, "first": provider})


def _conductor(submission: Submission, model: CatalogueModel) -> str:
    if submission.type != "chat.completion":
        return ""
    return conductors.needed(model.conductor.name if model.conductor else "", submission.request)


def _asked(submission: Submission, model: CatalogueModel) -> Asked:
    return Asked(submission.request, model.id, model.defaults)


def _serving(catalogue: Catalogue, id: str) -> list[Offer]:
    """Who may serve a role: a model, then its fallbacks. Their prices tell what a step costs the platform at most."""
    if id not in catalogue.models:  # its provider is new to this process, or its row has gone since it started
        raise InvalidRequest(f"model: {id}, by which it is served, is not available", param="model")
    names = (id, *catalogue.models[id].fallbacks)
    return [_listed(catalogue, name) for name in names if name in catalogue.models]


def _listed(catalogue: Catalogue, id: str) -> Offer:
    model, price = catalogue.models[id], catalogue.prices[id]
    known = {name: value for name, value in asdict(price).items() if name in Offer.__dataclass_fields__}
    sent = catalogue.sending(id).omit_earlier
    return Offer(
        provider=model.provider,
        model=model.id,
        upstream=model.upstream,
        max_output=model.max_output,
        omit=sent,
        bound_micros=0,
        **known,
    )
