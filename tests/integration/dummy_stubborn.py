"""A process that does not listen to SIGTERM, with a child of its own that does not either."""

import signal
import subprocess
import sys

signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "child" not in sys.argv:
    subprocess.Popen([sys.executable, __file__, "child"])
while True:
    signal.pause()
