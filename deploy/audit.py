"""Known vulnerabilities of the image's lock, by pip-audit: `python -m deploy.audit`.

Its data are asked for over the network (OSV). Where they cannot be had nothing was audited, which is said and ends
well: a check that needs the network must not decide whether a change may be merged. One that is found ends badly.
"""

import json
import subprocess
import sys
from typing import Any, Final

from deploy.check_lock import ROOT

LOCK: Final = ROOT / "deploy/requirements/image.txt"
#: How long the data may take, in seconds.
PATIENCE_SECONDS: Final = 60
NOT_AUDITED: Final = "NOT AUDITED: the data of known vulnerabilities (OSV) could not be reached from here"


def ask() -> dict[str, Any] | None:
    """pip-audit's report; None: there is none to have."""
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--requirement", str(LOCK)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        return dict(json.loads(done.stdout))
    except (subprocess.TimeoutExpired, ValueError):
        return None


def judged(report: dict[str, Any] | None) -> tuple[list[str], int]:
    """What to say of a report, and the exit status."""
    if report is None:
        return [NOT_AUDITED], 0
    found = report["dependencies"]
    skipped = [one for one in found if "skip_reason" in one]
    if len(skipped) == len(found):
        return [NOT_AUDITED], 0
    known = [f"{one['name']} {one['version']}: {vuln['id']}" for one in found for vuln in one.get("vulns", ())]
    missed = [f"not audited: {one['name']} ({one['skip_reason']})" for one in skipped]
    summary = f"{len(found) - len(skipped)} packages of the lock were audited, {len(known)} known vulnerabilities"
    return [*known, *missed, summary], int(bool(known))


def main() -> int:
    """Say it; the exit status."""
    lines, status = judged(ask())
    print(*lines, sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
