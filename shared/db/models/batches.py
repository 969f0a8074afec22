"""Files and the batches that are made of them."""

from typing import Literal

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel

from shared.db.models.columns import big, flag, long_text, partial_index

#: How a batch holds otherwise than at once and for all of it, or not at all: line by line as they become jobs, or for
#: all of it once the credit is there.
Hold = Literal["slices", "later"]
#: Whose file is still to be read. `reading`: `validating`, of a batch that has a `hold`, or a key with a budget or a
#: list of models, which a version that knows none of these must not begin.
UNREAD = ("validating", "reading")
#: The purpose of files that batches made.
MADE_BY_BATCHES = "batch_output"
#: The conditions of the partial indexes, word for word, as in `shared.db.models.jobs`.
UNFINISHED = "status IN ('validating', 'in_progress', 'finalizing', 'cancelling')"
TO_READ = "status = 'reading'"
#: Of a batch: its input file is being read, or is to be.
BEING_READ = f"({UNFINISHED} AND status = 'validating' OR {TO_READ})"
SHORT = "short_micros IS NOT NULL"
RETRIES = "retry_root IS NOT NULL"
COUNTED = "budget_rest_micros > 0"
OWING_CALLBACK = "callback_owed AND status IN ('completed', 'failed', 'expired', 'cancelled')"
WITH_CALLBACK = "callback_url IS NOT NULL"
UNFINISHED_RETRIES = f"{RETRIES} AND {UNFINISHED}"


class FileRow(SQLModel, table=True):
    """A file of an account's; its bytes are in blob storage."""

    __tablename__ = "files"
    __table_args__ = (
        Index("files_of_account", "account_id", "id"),
        Index("files_expiring", "expires_at"),
        Index("files_by_blob", "blob"),
    )
    id: str = Field(primary_key=True)
    account_id: str
    #: Belongs to the account's test keys; live and test do not see each other's.
    test: bool = False
    purpose: str
    filename: str
    bytes: int = big(default=0)
    #: Of its bytes, in hexadecimal digits; NULL: an earlier version wrote them.
    sha256: str | None = None
    #: The name of its bytes in `shared.files.blobs`.
    blob: str
    #: `uploading` until the bytes are whole; `deleted` until they are gone; else `processed`.
    status: str
    created_at: int = big()
    #: When it, or what an upload that died left behind, is removed; NULL: never.
    expires_at: int | None = big(null=True)


class BatchRow(SQLModel, table=True):
    """Up to 50,000 jobs as one: read from a file, held for as a whole, told of as a whole.

    Its lines become jobs (`released`) only after the hold of all of them has been taken; `stopped` ends that.
    Every line ends in one of the four counts, so the batch is over when they add up to `total`.
    """

    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint("NOT test OR bound_micros = 0", name="test_batches_hold_nothing"),
        CheckConstraint("released_micros <= bound_micros", name="released_within_hold"),
        CheckConstraint("resolved_micros <= released_micros", name="resolved_within_released"),
        CheckConstraint("succeeded + failed + cancelled + expired <= total", name="counts_within_total"),
        # By which a version that would count a batch in slices whole makes no line of one that it must not.
        CheckConstraint("budget_rest_micros >= 0", name="budget_rest_not_negative"),
        Index("batches_of_account", "account_id", "id"),
        partial_index("batches_unfinished", "id", where=UNFINISHED),
        partial_index("batches_to_read", "id", where=TO_READ),
        partial_index("batches_short", "account_id", where=SHORT),
        partial_index("batches_counted", "id", where=COUNTED),
        partial_index("retries_of_root", "retry_root", "id", where=RETRIES),
        partial_index("batches_owing_callback", "id", where=OWING_CALLBACK),
        partial_index("batches_with_callback", "id", where=WITH_CALLBACK),
        partial_index("one_retry_at_a_time", "retry_root", where=UNFINISHED_RETRIES, unique=True),
    )
    id: str = Field(primary_key=True)
    account_id: str
    key_id: str
    test: bool = False
    status: str
    #: Why no more lines become jobs before all of them have: `cancelled` or `expired`.
    stopped: str | None = None
    #: Every line's url; NULL: lines may be of different ones.
    endpoint: str | None = None
    #: In whose form it was made, and is listed (`shared.dialects`); NULL: in the native one alone.
    dialect: str | None = None
    #: Of one made in a dialect's form: how many requests it was sent with, and when the caller deleted it there.
    requests: int | None = big(null=True)
    deleted_at: int | None = big(null=True)
    #: Every line's model; NULL: they differ, or are not read yet.
    model: str | None = None
    input_file_id: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    completion_window: str
    #: The batch whose failed and expired lines this one repeats.
    retry_of: str | None = None
    #: Of a retry: the batch that was no retry, from which its lines come by way of any number of others.
    retry_root: str | None = None
    #: JSON list of what is wrong with the file, `{code, line, message, param}` each.
    errors: str | None = long_text(null=True)
    #: The customer's own `metadata`.
    labels: str | None = long_text(null=True)
    #: Its lines emit job events too.
    notify_each: bool = False
    priority: int = 0
    output_expires_seconds: int | None = big(null=True)
    #: Where the event of its end is sent, beside the account's webhooks; NULL: nowhere else, or no more.
    callback_url: str | None = None
    #: That delivery is still to be written.
    callback_owed: bool = flag()
    #: The blob of its lines as they were read and priced, from which its jobs are made.
    plan: str | None = None
    total: int = big(default=0)
    released: int = big(default=0)
    #: Bytes of the plan whose lines have become jobs.
    cursor: int = big(default=0)
    succeeded: int = big(default=0)
    failed: int = big(default=0)
    cancelled: int = big(default=0)
    expired: int = big(default=0)
    #: How it holds (`Hold`); NULL: all at once, or it fails.
    hold: str | None = None
    #: While it waits for credit, how much must be available before it goes on; NULL: it does not wait.
    short_micros: int | None = big(null=True)
    #: What has been held for it so far.
    bound_micros: int = big(default=0)
    #: How much of the hold has been handed on to jobs, or released because their lines never became one.
    released_micros: int = big(default=0)
    #: The part of the hold that is over: charged or released.
    resolved_micros: int = big(default=0)
    charged_micros: int = big(default=0)
    #: In the periods of which instant its hold counts for its key, as of jobs; and how much of it is still the batch's.
    #: One in slices has none of its own: its lines count when they become jobs, which an instant here says.
    budget_at: int | None = big(null=True)
    budget_rest_micros: int = big(default=0)
    #: While it waits for a budget of its key, what its next line may cost, and when that budget begins anew (NULL:
    #: never); NULL: it does not wait for one.
    budget_short_micros: int | None = big(null=True)
    budget_until: int | None = big(null=True)
    prompt_tokens: int = big(default=0)
    completion_tokens: int = big(default=0)
    #: Parts of these two of the lines whose providers told them; NULL: none did.
    cached_tokens: int | None = big(null=True)
    cache_creation_tokens: int | None = big(null=True)
    reasoning_tokens: int | None = big(null=True)
    #: Lines whose tokens were counted here, because their providers did not tell.
    estimated: int = big(default=0)
    created_at: int = big()
    expires_at: int = big()
    in_progress_at: int | None = big(null=True)
    finalizing_at: int | None = big(null=True)
    completed_at: int | None = big(null=True)
    failed_at: int | None = big(null=True)
    expired_at: int | None = big(null=True)
    cancelling_at: int | None = big(null=True)
    cancelled_at: int | None = big(null=True)


def unread(hold: Hold | None, *, limited: bool = False) -> str:
    """The status of a batch that has just been made; `limited`: by its key, as to models or credits."""
    return "validating" if hold is None and not limited else "reading"
