"""The catalogue: models, prices, and which provider serves them; read from catalogue.toml, models/ and an own file."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shared import clock
from shared.errors import InvalidRequest
from shared.money.pricing import Overheads, UnitPrices
from shared.queues import LANES, queue_name
from shared.settings import settings
from shared.submissions.catalogue_checks import checked_overheads, checked_rows, wrong
from shared.submissions.catalogue_files import CatalogueError, Rows, joined, parsed, shipped
from shared.submissions.catalogue_reload import Reloaded
from shared.submissions.catalogue_rows import CatalogueModel as CatalogueModel
from shared.submissions.catalogue_rows import Provider as Provider
from shared.submissions.endpoints import Endpoint as Endpoint
from shared.submissions.endpoints import base_url as base_url
from shared.submissions.endpoints import endpoint as endpoint
from shared.submissions.endpoints import key_headers as key_headers
from shared.submissions.endpoints import url_variable as url_variable
from shared.submissions.price_changes import Dated, changed, due, moments
from shared.submissions.sending import PLAIN, Sending, Words, sending

SANDBOX = "sandbox"


@dataclass(frozen=True)
class Catalogue:
    """The whole list, with its version and the overheads by which input is bounded."""

    version: str
    overheads: Overheads
    providers: Mapping[str, Provider]
    models: Mapping[str, CatalogueModel]
    #: By model, each as a job's row keeps it.
    prices: Mapping[str, UnitPrices]
    #: By model, what it is sent.
    sendings: Mapping[str, Sending] = field(default_factory=dict)
    #: Providers that have queues: those with models, of when the process started.
    queued: tuple[str, ...] = ()
    #: When prices change, in microseconds since the epoch.
    changes: tuple[int, ...] = ()

    def at(self, micros: int) -> "Catalogue":
        """The same with the prices in force at a moment; their version says from which day they are."""
        found = {id: change for id, model in self.models.items() if (change := due(model, micros)) is not None}
        if not found:
            return self
        models = {id: changed(self.models[id], change) for id, change in found.items()}
        prices = {id: _price(f"{self.version}@{found[id].day}", model) for id, model in models.items()}
        return replace(self, models={**self.models, **models}, prices={**self.prices, **prices})

    def is_usable(self, model: CatalogueModel, *, test: bool) -> bool:
        """Return whether a key can use the model. Test keys can use all: their jobs run on the sandbox."""
        return test or endpoint(self.providers[model.provider]) is not None

    def model(self, id: str, *, param: str = "model") -> CatalogueModel:
        """The model of that id, or of `provider.id`, which is looked for after it; a 400 that names `param`."""
        if found := self.models.get(id):
            return found
        provider, _, bare = id.partition(".")
        if (found := self.models.get(bare)) and found.provider == provider:
            return found
        raise InvalidRequest(
            f"{param}: unknown model {id[:100]!r}; GET /v1/models lists the available models", param=param
        )

    def sending(self, id: str) -> Sending:
        """What the model of that id is sent; of one that is not there any more, what any is."""
        return self.sendings.get(id, PLAIN)

    def sending_for(self, provider: str, id: str, upstream: str) -> Sending:
        """What is sent to the upstream of an offer, which was fixed when its job was accepted.

        The row of that id may be another's by now, or not be here: in a process with an older file.
        """
        row = self.models.get(id)
        if row is not None and (row.provider, row.upstream) == (provider, upstream):
            return self.sending(id)
        if provider not in self.providers:
            return PLAIN
        served = (one for one in self.models.values() if (one.provider, one.upstream) == (provider, upstream))
        words = row if row is not None and row.provider == provider else next(served, Words())
        return sending(self.providers[provider], words, upstream)


def load(name: str) -> Catalogue:
    """What ships, and the file of that name; one that cannot be used ends the process, with all that is wrong in it."""
    try:
        return loaded(name)
    except (OSError, CatalogueError) as error:
        raise SystemExit(f"cannot load the catalogue {name or shipped()[0].name}: {why(error)}") from None


def loaded(name: str) -> Catalogue:
    """The same, for those who go on without it: OSError or CatalogueError."""
    return checked(read_rows(name))


def read_rows(name: str) -> Rows:
    """The rows of what ships and of the file of that name, unchecked."""
    if not name:
        return joined(None)
    try:
        return joined(parsed(name, Path(name).read_text(encoding="utf-8")))
    except UnicodeDecodeError:
        raise CatalogueError([f"{name}: is not UTF-8"]) from None


def why(error: OSError | CatalogueError) -> str:
    """What was wrong: a reason, or a line for each fault."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "\n  ".join(["", *error.faults])


def read(source: str) -> Catalogue:
    """The catalogue with a text in place of an operator's file; CatalogueError with all that is wrong in it."""
    return checked(joined(parsed("catalogue", source)))


def checked(rows: Rows) -> Catalogue:
    """The rows of all files as a catalogue; CatalogueError names each fault's file, line and key."""
    faults = rows.faults
    providers = checked_rows(rows.providers, "providers", Provider, "name", faults)
    models = checked_rows(rows.models, "models", CatalogueModel, "id", faults)
    overheads = checked_overheads(rows, faults)
    for id, model in models.items():
        faults += [rows.models[id].source.fault(("models", id, *path), said) for path, said in wrong(model, rows)]
    if not rows.version:
        faults.append("version is missing")
    if faults or overheads is None:
        raise CatalogueError(faults)
    prices = {id: _price(rows.version, model) for id, model in models.items()}
    sendings = {id: sending(providers[model.provider], model, model.upstream) for id, model in models.items()}
    serving = {model.provider for model in models.values()}
    queued = tuple(name for name in providers if name in serving or name == SANDBOX)
    return Catalogue(rows.version, overheads, providers, models, prices, sendings, queued, moments(models.values()))


def _price(version: str, model: CatalogueModel) -> UnitPrices:
    return UnitPrices(
        version,
        model.input,
        model.output,
        dict(model.images),
        cached_input=model.cached_input,
        cache_write=model.cache_write,
        cache_write_1h=model.cache_write_1h,
        reasoning=model.reasoning,
        request=model.request,
        long_context=model.long_context.prices() if model.long_context else None,
    )


def job_queues() -> list[str]:
    """Every queue that jobs wait on."""
    return [queue_name(name, lane) for name in catalogue().queued for lane in LANES]


def catalogue() -> Catalogue:
    """The catalogue of this process: what ships, and FUSIONAI_CATALOGUE, read anew when that file has changed.

    Its prices are those in force now. Two processes whose clocks differ by a little may give two answers at midnight;
    the one that makes a job's row fixes its price, and every other reads it there.
    """
    return _in_force.at(_current.get(), clock.now_micros())


def _kept(before: Catalogue, now: Catalogue) -> tuple[Catalogue, list[str]]:
    """A catalogue that was read anew, as far as this process can follow it; and what needs a restart.

    Where and how providers are called is of when the process started, and so are its queues: a provider that is gone
    stays for the jobs that it has, and a model of one that had no queue is left out.
    """
    later = [f"{id} needs a restart: {model.provider} is new here"
             for id, model in now.models.items() if model.provider not in before.queued]  # fmt: skip
    models = {id: model for id, model in now.models.items() if model.provider in before.queued}
    providers = {**now.providers, **before.providers}
    later += [f"provider {name} needs a restart" for name, row in now.providers.items()
              if name in before.queued and _calls(row) != _calls(before.providers[name])]  # fmt: skip
    return replace(now, models=models, providers=providers, queued=before.queued), later


def _calls(provider: Provider) -> dict[str, Any]:
    return provider.model_dump(include={"protocol", "base_url", "url", "path", "key", "key_optional", "key_header"})


_current: Reloaded[Catalogue] = Reloaded(lambda: settings().catalogue, loaded, load, _kept)
_in_force: Dated[Catalogue] = Dated(lambda one: one.changes, Catalogue.at)


def forget() -> None:
    """Have the catalogue read as a process that starts does: for tests, which change the settings."""
    _current.forget()
