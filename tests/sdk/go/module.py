"""The Go module as it would be published, and the quick start of its README with it."""

import json
import re
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

from shared.environment import inherited

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "producer" / "client" / "go"
PATH = "github.com/fusionai/sdk-go"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
_VERSION = re.compile(r'^const Version = "([0-9.]+)"$', re.M)
#: After the first program, what it prints.
_PRINTS = re.compile(r"^`go run \.` prints:\n\n((?:    .*\n)+)", re.M)


@dataclass(frozen=True)
class Start:
    """What a quick start printed, and what is wrong with it."""

    printed: str
    wrong: tuple[str, ...] = ()


def version() -> str:
    """The version that the client says it is."""
    found = _VERSION.search((SOURCE / "client.go").read_text("utf-8"))
    assert found, "client.go says no version"
    return f"v{found[1]}"


def publish(proxy: Path) -> None:
    """Lay the module out as https://go.dev/ref/mod#goproxy-protocol has it, for `GOPROXY=file://…`."""
    released, folder = version(), proxy / PATH / "@v"
    folder.mkdir(parents=True)
    (folder / "list").write_text(released + "\n")
    (folder / f"{released}.info").write_text(json.dumps({"Version": released, "Time": "2026-11-29T00:00:00Z"}))
    (folder / f"{released}.mod").write_bytes((SOURCE / "go.mod").read_bytes())
    files = [path for path in SOURCE.rglob("*") if path.is_file()]
    with zipfile.ZipFile(folder / f"{released}.zip", "w", zipfile.ZIP_DEFLATED) as made:
        for path in [*files, ROOT / "LICENSE"]:
            name = "LICENSE" if path.name == "LICENSE" else path.relative_to(SOURCE).as_posix()
            made.write(path, f"{PATH}@{released}/{name}")


def quick_start(directory: Path, *, url: str, key: str) -> Start:
    """Run the README's quick start, as it is written, in an empty directory and with caches of its own."""
    proxy = directory / "proxy"
    publish(proxy)
    shell, program, printed = _written()
    environment = {
        **inherited(),
        "GOPROXY": proxy.as_uri(),
        "GOSUMDB": "off",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-modcacherw",
        "GOMODCACHE": str(directory / "modules"),
        "FUSIONAI_BASE_URL": url,
    }
    commands = shell.replace("fusionai_live_…", key) + "cat > main.go\ngo run .\n"
    ran = subprocess.run(
        ["sh", "-ec", commands], input=program, cwd=directory, env=environment, capture_output=True, encoding="utf-8"
    )
    if ran.returncode != 0:
        return Start(ran.stdout, (f"the quick start ended with {ran.returncode}: {ran.stderr}",))
    wrong = () if ran.stdout == printed else (f"the quick start printed\n{ran.stdout}and not\n{printed}",)
    return Start(ran.stdout, wrong)


def _written() -> tuple[str, str, str]:
    """Of the README: the commands, the program, and what it prints."""
    readme = (SOURCE / "README.md").read_text("utf-8")
    blocks = _FENCE.findall(readme)
    prints = _PRINTS.search(readme)
    assert prints, "the README does not say what the quick start prints"
    first = {kind: text for kind, text in reversed(blocks)}
    return first["sh"], first["go"], re.sub(r"^    ", "", prints[1], flags=re.M)
