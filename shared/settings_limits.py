"""The settings of limits: how large, how many and how long connections, requests, waits and calls may be."""

from pydantic import Field
from pydantic_settings import BaseSettings


class LimitSettings(BaseSettings):
    """A part of `shared.settings.Settings`, which has the rest, and reads them."""

    #: Limits per connection of a web process. Request headers: size in bytes, and seconds until complete. Request body:
    #: seconds without data, and seconds until complete. A response that the client does not read: seconds without
    #: progress, and in total.
    head_bytes: int = Field(default=65_536, ge=4_096)
    head_seconds: float = Field(default=10.0, gt=0)
    body_idle_seconds: float = Field(default=30.0, gt=0)
    body_seconds: float = Field(default=900.0, gt=0)
    send_idle_seconds: float = Field(default=60.0, gt=0)
    send_seconds: float = Field(default=3600.0, gt=0)
    #: Maximum connections of a web process, in total and per client address (IPv6: per /64 network). 0: as many as the
    #: limit on open files allows, up to 20,000; and half of that. Behind a proxy all connections have its address.
    connections: int = Field(default=0, ge=0)
    connections_per_address: int = Field(default=0, ge=0)
    #: Per web process: requests per minute of one API key that do not create jobs (those that do have the account's
    #: rate limit); concurrent requests of one API key; attempts per minute with invalid keys from one address. 0: no
    #: limit.
    key_requests_per_minute: int = Field(default=12_000, ge=0)
    key_open_requests: int = Field(default=1_000, ge=0)
    wrong_keys_per_minute: int = Field(default=600, ge=0)
    #: Maximum size of all uploaded files of an account, in bytes; 0: no limit.
    account_file_bytes: int = Field(default=100 * 1024**3, ge=0)
    #: How long a call waits for its job, and a stream for its first event, unless the client asks for less.
    wait_seconds: float = Field(default=600.0, gt=0)
    #: A streaming response starts after this time at the latest; errors before that are plain HTTP errors.
    stream_begin_seconds: float = Field(default=5.0, gt=0)
    #: Timeouts of a call to a provider that is not streamed: until the response headers (most providers work before
    #: they send them); the same while a client waits and a fallback is available; without data within the body; in
    #: total.
    call_first_seconds: float = Field(default=600.0, gt=0)
    call_turn_seconds: float = Field(default=60.0, gt=0)
    call_idle_seconds: float = Field(default=60.0, gt=0)
    call_seconds: float = Field(default=600.0, gt=0)
    #: Timeouts of a streamed call: until the first event with content (text, tool call or reasoning); the same while a
    #: fallback is available; without data after that; in total.
    stream_first_seconds: float = Field(default=120.0, gt=0)
    stream_turn_seconds: float = Field(default=10.0, gt=0)
    stream_idle_seconds: float = Field(default=60.0, gt=0)
    stream_seconds: float = Field(default=3600.0, gt=0)
    #: Pause of calls to a provider that is down: the first one (doubled each time), and the maximum.
    pause_seconds: float = Field(default=1.0, gt=0)
    pause_most_seconds: float = Field(default=30.0, gt=0)
    #: The first pause before a retry; it is doubled each time, with jitter.
    retry_base_seconds: float = Field(default=1.0, ge=0)
