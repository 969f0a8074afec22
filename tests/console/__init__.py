"""The console in a real Chromium: `make test-console` starts one stack with work in it, and tests that."""
