"""The states of a job: leases, outcomes, transitions, its stream, its metrics."""
