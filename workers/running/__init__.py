"""Running jobs: lease, call, retry, settle, for thousands of jobs on one event loop."""
