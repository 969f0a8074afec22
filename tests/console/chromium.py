"""Where the Chromium of this machine is, and what to say when there is none."""

import os
import shutil
import sys

#: Names of the command, Debian's first. CHROMIUM in the environment names another.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "There is no Chromium here: install it (Debian: apt-get install chromium; Fedora: dnf install chromium), or name "
    "one: CHROMIUM=/path/to/chrome make test-console"
)


def find() -> str:
    """The path of Chromium; ends the program with what to do if there is none."""
    named = os.environ.get("CHROMIUM")
    for name in [named] if named else NAMES:
        if path := shutil.which(name):
            return path
    sys.exit(f"CHROMIUM={named}: there is no such program" if named else MISSING)


if __name__ == "__main__":
    find()
