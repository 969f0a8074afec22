"""What a web process goes through for garbage: not what it began with, while callers wait."""

import subprocess
import sys

#: Prints how many objects are left out of collections when it begins to serve, and how many are not.
SERVING = """
import gc
from producer.server import serve

serve.Server.run = lambda self: print(gc.get_freeze_count(), len(gc.get_objects()))
serve.serve(lambda *_: None, lambda: None)
"""


def test_a_web_process_does_not_go_through_its_modules() -> None:
    ran = subprocess.run([sys.executable, "-c", SERVING], check=True, capture_output=True, text=True, timeout=60)
    left_out, gone_through = map(int, ran.stdout.split())
    assert left_out > 20 * gone_through
