"""`python -m tests.sdk RUNNER … [-- CASE …]`: what is wrong with the SDK that this runner drives, by case."""

import sys

from tests.sdk.harness import failures
from tests.sdk.table import cases

command, _, names = " ".join(sys.argv[1:]).partition(" -- ")
found = failures(command.split(), *names.split())
for name, wrong in found.items():
    print(name, *wrong, sep="\n    ")
print(f"{len(cases(*names.split())) - len(found)} cases pass, {len(found)} do not")
sys.exit(1 if found else 0)
