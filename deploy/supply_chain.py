"""What is shipped, under which licences: `python -m deploy.supply_chain` checks both, writes the bill of materials.

Shipped are the packages of the image's lock, the files of others that ours contain (deploy/vendored.toml), and what is
inside of wheels: what they say of that (PEP 770), and what was found by looking (there, too). Each has to have a
licence that is known, and allowed here. The list of them is deploy/licences.md, which `--write` writes anew; the bill
of materials is CycloneDX, by cyclonedx-bom, cut down to what is shipped and completed by what no package's metadata
says.
"""

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from typing import Any, Final

from packaging.utils import canonicalize_name

from deploy.check_lock import ROOT, environments, holds, parse

LOCK: Final = ROOT / "deploy/requirements/image.txt"
LIST: Final = ROOT / "deploy/licences.md"
VENDORED: Final = ROOT / "deploy/vendored.toml"
BILL: Final = ROOT / "build/sbom.cdx.json"

#: Licences (SPDX) of what may be part of an installation: permissive ones, and those that ask for their own source
#: alone (MPL, LGPL of what is installed, or linked dynamically, as it was published).
ALLOWED: Final = frozenset(
    "0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BSD-Attribution-HPND-disclaimer BSL-1.0 Bitstream-Vera CC0-1.0 "
    "CDLA-Permissive-2.0 FTL IJG ISC LGPL-2.1-or-later LGPL-3.0-only MIT MIT-0 MIT-CMU MPL-2.0 OFL-1.1 PSF-2.0 "
    "Unicode-3.0 Unicode-DFS-2016 Unlicense X11 Zlib libtiff".split()
)
#: What packages write where SPDX has another name, or where the name alone says too little (looked up in their files).
SPELT: Final[Mapping[str, str]] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "New BSD": "BSD-3-Clause",
    "PSFL": "PSF-2.0",
}
#: Of what says nothing, or says it unclearly; read from their licence files.
LOOKED_UP: Final[Mapping[str, str]] = {
    "async-timeout": "Apache-2.0",
    "cyrus-sasl-lib": "BSD-Attribution-HPND-disclaimer",
    "keyutils-libs": "LGPL-2.1-or-later",
    "libXau": "MIT",
    "libcom_err": "MIT",
    "pyreqwest": "Apache-2.0",
    "python-dateutil": "Apache-2.0 AND BSD-3-Clause",
    "sniffio": "MIT OR Apache-2.0",
    "uvloop": "Apache-2.0 OR MIT",
    "valkey": "MIT",
}
#: What a wheel's bill names as optional and the wheel does not have, by what a file of it would be called.
ABSENT: Final[Mapping[str, str]] = {"libimagequant": "imagequant", "FriBiDi": "libfribidi"}


@dataclass(frozen=True, slots=True)
class Shipped:
    """One thing that is shipped: `kind` is package, file or inside (of a wheel)."""

    kind: str
    name: str
    version: str
    licence: str
    where: str = ""
    #: Its package URL, by which known vulnerabilities are found; empty: it has none that is known.
    purl: str = ""

    @property
    def fault(self) -> str | None:
        """Why it may not be; None: it may."""
        if not self.licence:
            return f"{self.name} {self.version} {self.where}: no licence is known"
        if not is_allowed(self.licence):
            return f"{self.name} {self.version} {self.where}: {self.licence} is not among the licences that are allowed"
        return None


def is_allowed(expression: str) -> bool:
    """Whether an SPDX expression can be met by licences that are allowed."""
    from license_expression import Licensing

    return _holds(Licensing().parse(expression))


def _holds(node: Any) -> bool:
    parts = [_holds(part) for part in getattr(node, "args", ())]
    if parts:
        return any(parts) if node.operator.strip() == "OR" else all(parts)
    return getattr(node, "license_symbol", node).key in ALLOWED


def shipped() -> list[Shipped]:
    """Everything, in a fixed order."""
    pins = [pin for pin in parse(LOCK.read_text()) if any(holds(pin, one) for one in environments())]
    locked = sorted({(canonicalize_name(pin.name), str(pin.specifier).removeprefix("==")) for pin in pins})
    packages = [Shipped("package", name, version, licence_of(name)) for name, version in locked]
    inside = {one for name, _ in locked for one in inside_of(name)} | set(noted(locked))
    return [*packages, *vendored(), *sorted(inside, key=lambda one: (one.name, one.version, one.where))]


def licence_of(name: str) -> str:
    """The licence of a package as an SPDX expression, by the version that is installed; empty: it is not known."""
    if name in LOOKED_UP:
        return LOOKED_UP[name]
    try:
        said: Any = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    if expression := said.get("License-Expression"):
        return str(expression)
    text = (said.get("License") or "").strip()
    if text in ALLOWED or text in SPELT:
        return SPELT.get(text, text)
    named = [one.rpartition(" :: ")[2] for one in said.get_all("Classifier") or [] if one.startswith("License ::")]
    return SPELT.get(named[0], named[0]) if len(named) == 1 else ""


def inside_of(name: str) -> Iterator[Shipped]:
    """What the bills of materials within a wheel name, with a licence or without."""
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return
    for file in files:
        if file.parent.name == "sboms" and file.suffix == ".json":
            for one in json.loads(file.read_text()).get("components", ()):
                if canonicalize_name(one["name"]) != name and not _is_absent(one, [str(file) for file in files]):
                    licence = LOOKED_UP.get(one["name"]) or _stated(one)
                    purl = one.get("purl", "").partition("?")[0]
                    yield Shipped("inside", one["name"], one.get("version", ""), licence, name, purl)


def _is_absent(component: Mapping[str, Any], files: list[str]) -> bool:
    """Whether it was left out when the wheel was built; a file of it says that it was not."""
    part = ABSENT.get(component["name"])
    optional = component.get("scope") == "optional" and part is not None
    return component.get("scope") == "excluded" or (optional and not any(str(part) in file.lower() for file in files))


def _stated(component: Mapping[str, Any]) -> str:
    """The licences of a component of a bill, as an expression; crates still write `MIT/Apache-2.0`."""
    found = []
    for one in component.get("licenses", ()):
        text = one.get("expression") or one.get("license", {}).get("id") or one.get("license", {}).get("name") or ""
        found.append(" ".join(text.replace("/", " OR ").split()))
    return " AND ".join(found)


def vendored() -> list[Shipped]:
    """The files of others in our packages, whose hashes are held; a file that is no longer so ends the check."""
    rows = tomllib.loads(VENDORED.read_text())["vendored"]
    for row in rows:
        for path, digest in row["files"].items():
            if sha256((ROOT / path).read_bytes()).hexdigest() != digest:
                raise SystemExit(f"{path} is not what deploy/vendored.toml says it is")
    return [_of_npm(row, "file", ", ".join(row["files"])) for row in rows]


def noted(locked: Iterable[tuple[str, str]]) -> Iterator[Shipped]:
    """What was found inside of wheels by looking; a wheel that nobody has looked into ends the check."""
    versions = dict(locked)
    for row in tomllib.loads(VENDORED.read_text())["inside"]:
        wheel, _, version = row["of"].partition("==")
        if versions.get(wheel) != version:
            raise SystemExit(f"deploy/vendored.toml says what {row['of']} holds: look into {versions.get(wheel)}")
        yield _of_npm(row, "inside", wheel)


def _of_npm(row: Mapping[str, Any], kind: str, where: str) -> Shipped:
    purl = f"pkg:npm/{row['name']}@{row['version']}" if row.get("npm", True) else ""
    return Shipped(kind, row["name"], row["version"], row["licence"], where, purl)


def table(found: Iterable[Shipped]) -> str:
    """deploy/licences.md."""
    all_of = list(found)
    packages = [f"| {one.name} | {one.version} | {one.licence} |" for one in all_of if one.kind == "package"]
    files = [f"| {one.name} {one.version} | {one.licence} | {one.where} |" for one in all_of if one.kind == "file"]
    inside: dict[str, set[str]] = {}
    for one in all_of:
        if one.kind == "inside":
            inside.setdefault(one.where, set()).add(one.licence)
    wheels = [f"| {name} | {'; '.join(sorted(licences))} |" for name, licences in sorted(inside.items())]
    return "\n".join(
        [
            "# Licences of what is shipped\n",
            "FusionAI itself is Apache-2.0. Made by `python -m deploy.supply_chain --write` from the image's lock and",
            "`deploy/vendored.toml`; `make supply-check` fails on a licence that is not known or not allowed. Packages",
            "are installed as they were published; what a wheel holds of others is its publisher's to say, and listed",
            "where it says so.\n",
            "## Packages\n\n| package | version | licence |\n|---|---|---|",
            *packages,
            "\n## Files in our packages\n\n| what | licence | files |\n|---|---|---|",
            *files,
            "\n## Inside of wheels, as they say or as was found\n\n| wheel | licences |\n|---|---|",
            *wheels,
            "",
        ]
    )


def bill(found: Iterable[Shipped]) -> dict[str, Any]:
    """The bill of materials, of what is shipped alone, the same each time, and without addresses of elsewhere."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--mc-type", "application"]
    command += ["--pyproject", str(ROOT / "pyproject.toml"), "--output-format", "JSON", sys.executable]
    made: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    things = list(found)
    packages = {one.name: one for one in things if one.kind == "package"}
    kept = []
    for component in made["components"]:
        if package := packages.get(canonicalize_name(component["name"])):
            component["licenses"] = [{"expression": package.licence}]
            component.pop("externalReferences", None)
            kept.append(component)
    others = {one["bom-ref"]: one for one in map(_component, things) if not one["bom-ref"].startswith("package:")}
    made["components"] = sorted([*kept, *others.values()], key=lambda one: str(one["bom-ref"]))
    del made["metadata"]["tools"]
    known = {made["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in made["components"])}
    made["dependencies"] = [
        {**one, "dependsOn": [ref for ref in one["dependsOn"] if ref in known]} if "dependsOn" in one else one
        for one in made["dependencies"]
        if one["ref"] in known
    ]
    return made


def _component(one: Shipped) -> dict[str, Any]:
    """A file of others, or what a wheel holds of them; packages have better ones."""
    ref = f"inside:{one.where}/{one.name}@{one.version}" if one.kind == "inside" else f"{one.kind}:{one.name}"
    properties = [{"name": f"fusionai:{one.kind}", "value": where} for where in one.where.split(", ")]
    named = {"type": "library", "bom-ref": ref, "name": one.name, "version": one.version, "purl": one.purl}
    told = {name: value for name, value in named.items() if value}
    return {**told, "licenses": [{"expression": one.licence}], "properties": properties}


def validate(text: str) -> None:
    """Hold it against CycloneDX's own schema."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    version = SchemaVersion.from_version(json.loads(text)["specVersion"])
    if error := JsonStrictValidator(version).validate_str(text):
        raise SystemExit(f"the bill of materials is none: {error}")


def main() -> int:
    """Check, and write; the exit status."""
    parser = argparse.ArgumentParser(prog="deploy.supply_chain")
    parser.add_argument("--write", action="store_true", help="write deploy/licences.md anew")
    write = parser.parse_args().write
    found = shipped()
    wrong = [fault for one in found if (fault := one.fault)]
    if write:
        LIST.write_text(table(found))
    elif LIST.read_text() != table(found):
        wrong.append("deploy/licences.md is out of date: python -m deploy.supply_chain --write")
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        return 1
    text = json.dumps(bill(found), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    validate(text)
    BILL.parent.mkdir(exist_ok=True)
    BILL.write_text(text)
    print(f"{len(found)} things are shipped, each under a licence that is allowed; {BILL.relative_to(ROOT)} lists them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
