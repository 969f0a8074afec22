"""Where the API shows an object, as events, messages and headers say it: the native dialect's paths. Pure."""


def job_url(id: str) -> str:
    """The path of a job."""
    return f"/v1/jobs/{id}"


def stream_url(job_id: str) -> str:
    """The path of a job's stream."""
    return f"{job_url(job_id)}/stream"


def batch_url(id: str) -> str:
    """The path of a batch."""
    return f"/v1/batches/{id}"


def invoice_url(id: str) -> str:
    """The path of an invoice."""
    return f"/v1/invoices/{id}"
