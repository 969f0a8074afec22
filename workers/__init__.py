"""The Celery side: leases jobs, calls providers, settles, tells, sweeps."""
