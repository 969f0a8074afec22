"""A version's section of the changelog, for a release: `python -m deploy.release_notes 0.1.0` (none: Unreleased)."""

import re
import sys
from pathlib import Path
from typing import Final

CHANGELOG: Final = Path(__file__).resolve().parent.parent / "CHANGELOG.md"
UNRELEASED: Final = "Unreleased"

_HEADING: Final = re.compile(r"^## \[?([^\]\s]+)\]?.*$", re.M)


def sections(text: str) -> dict[str, str]:
    """What stands under each version's heading, in the file's order.

    >>> sections("# Changelog\\n\\n## Unreleased\\n\\n- a\\n\\n## 0.1.0 (2026-01-01)\\n\\n- b\\n")
    {'Unreleased': '- a', '0.1.0': '- b'}
    """
    found = list(_HEADING.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)]
    return {match[1]: text[match.end() : end].strip() for match, end in zip(found, ends, strict=True)}


def main(arguments: list[str]) -> int:
    """Print the notes; the exit status."""
    version = arguments[0].removeprefix("v") if arguments else UNRELEASED
    known = sections(CHANGELOG.read_text(encoding="utf-8"))
    if not known.get(version):
        print(f"CHANGELOG.md says nothing of {version}; it has {', '.join(known)}", file=sys.stderr)
        return 1
    print(known[version])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
