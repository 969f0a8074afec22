"""The metrics that are shown: their names, labels and meanings."""

from typing import Final

from shared import clock

Labels = tuple[str, ...]

#: Name, labels, meaning.
GAUGES: Final[tuple[tuple[str, Labels, str], ...]] = (
    ("jobs_queued", ("provider", "lane"), "Jobs waiting to run. Provider 'probation': jobs whose worker was lost."),
    (
        "queue_age_seconds",
        ("provider", "lane"),
        "Seconds since the acceptance of the oldest job that waits for a worker; 0 if none does.",
    ),
    (
        "jobs_deferred",
        ("provider", "lane", "reason"),
        "Jobs waiting for a retry, by the error: 429, 503, connect.",
    ),
    ("jobs_running", ("provider", "lane"), "Jobs running on a worker, by the provider whose queue they came from."),
    ("batches", ("status",), "Unfinished batches."),
    ("workers_alive", (), "Worker processes with a valid lease."),
    ("webhooks_pending", (), "Pending webhook deliveries, including those waiting for a retry."),
    ("webhook_lag_seconds", (), "Seconds for which the oldest due webhook delivery has been due; 0 if none is due."),
    ("credits_held", (), "Credits held for unfinished jobs and batches of all accounts."),
    ("credits_available", (), "Available credits of all accounts."),
    ("redis_up", (), "Whether Redis responds to this process and accepts writes (0 also while it is full)."),
    (
        "provider_paused",
        ("provider", "model", "reason"),
        "1 while calls are paused because the provider is down or refuses requests, or by an operator.",
    ),
    (
        "provider_calls_per_second",
        ("provider", "model"),
        "The learned rate of calls that a model of a provider accepts, if known.",
    ),
    (
        "provider_error_ratio",
        ("provider", "model"),
        "Share of recent calls that failed through the provider's fault, recent ones weighing more.",
    ),
    (
        "provider_first_token_seconds",
        ("provider", "model"),
        "Mean seconds from a recent call to the first content of its streamed answer.",
    ),
    ("provider_answer_seconds", ("provider", "model"), "Mean seconds from a recent call to the end of its answer."),
)

#: Name shown, name kept, how many of what is kept are one of what is shown, meaning; labels are those in
#: `shared.jobs.metrics.LABELS`.
COUNTERS: Final = (
    (
        "jobs_settled",
        "jobs_settled",
        1,
        "Finished jobs, by the provider that served them or whose queue they were in; 'cache': cached answers.",
    ),
    ("job_retries", "job_retries", 1, "Attempts after the first one of finished jobs, by provider."),
    ("tokens", "tokens", 1, "Tokens of finished jobs, as reported by the provider or estimated."),
    ("credits_charged", "charged_micros", clock.MICROS, "Credits charged for jobs."),
    (
        "excess_credits",
        "excess_micros",
        clock.MICROS,
        "Cost of jobs above their maximum price, in credits, borne by the operator.",
    ),
    ("job_steps", "job_steps", 1, "Finished steps of jobs that take several calls, by who served them."),
    ("job_step_tokens", "job_step_tokens", 1, "Tokens of these steps, as reported by the provider."),
    (
        "job_step_credits",
        "job_step_micros",
        clock.MICROS,
        "These steps at the list price of the model that served them, in credits. Jobs are charged at their own price.",
    ),
    (
        "stale_answers_refused",
        "stale_answers_refused",
        1,
        "Results refused because the worker no longer owned the job.",
    ),
    ("jobs_taken_back", "jobs_taken_back", 1, "Jobs queued again because their worker was lost."),
    ("sweeps", "sweeps", 1, "Sweeps without a fault, by all sweepers; written down every ten seconds."),
    ("workers_lapsed", "workers_lapsed", 1, "Worker processes that ended without releasing their lease."),
    (
        "webhook_deliveries",
        "webhook_deliveries",
        1,
        "Attempts to deliver an event: delivered, retried (will be retried) or failed (no more retries).",
    ),
    ("cache_lookups", "cache_lookups", 1, "Requests whose answers are cached: hit (answered from the cache) or miss."),
)
