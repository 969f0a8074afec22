"""Asks axe-core, which stands beside this file, what of a page is wrong for those who cannot see or cannot point.

axe-core 4.14.1, axe.min.js of its npm package, MPL-2.0 (axe.LICENSE); it is for tests alone, and in nothing that ships.
"""

import hashlib
from functools import cache
from pathlib import Path

from playwright.sync_api import Page

SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
#: Impacts that fail a test; axe's others are `minor` and `moderate`.
_GRAVE = ("serious", "critical")
_RUN = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.map(found => ({
    id: found.id, impact: found.impact, help: found.help,
    nodes: found.nodes.slice(0, 3).map(node => `${node.target}: ${node.any.concat(node.all, node.none)
        .map(check => check.message).join(" ")}`),
}))"""


@cache
def source() -> str:
    """The script, as it was published."""
    content = (Path(__file__).parent / "axe.min.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256, "axe.min.js is not the one that was published"
    return content.decode()


def faults(page: Page) -> list[str]:
    """The grave faults of a page, in words, with where each is."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(source())
    found = page.evaluate(_RUN)
    return [f"{one['id']} ({one['impact']}): {one['help']}: {one['nodes']}" for one in found if one["impact"] in _GRAVE]
