"""The providers' own words for a prompt that is too long, and for a rate limit that is reached.

A client that decides by a code meets here what it meets outside: only OpenAI has a code for a prompt that is too long.
"""

from workers.simulator.messages import Protocol, SimulatedRefusal


def too_long(provider: str, protocol: Protocol, prompt: int, window: int) -> SimulatedRefusal:
    """The refusal of a prompt of more tokens than the model's window has."""
    if protocol == "anthropic" or provider == "anthropic":
        message = f"prompt is too long: {prompt} tokens > {window} maximum"
        return SimulatedRefusal(400, message, code="invalid_request_error")
    if protocol.startswith("google"):
        message = f"The input token count ({prompt}) exceeds the maximum number of tokens allowed ({window})."
        return SimulatedRefusal(400, message)
    has = f"This model's maximum context length is {window} tokens. However, "
    if provider == "openai":
        message = f"{has}your messages resulted in {prompt} tokens. Please reduce the length of the messages."
        return SimulatedRefusal(400, message, code="context_length_exceeded", param="messages")
    # vLLM's words, which serves the open models of most others.
    message = f"{has}you requested {prompt} tokens in the messages. Please reduce the length of the messages."
    return SimulatedRefusal(400, message, type="BadRequestError")


def limited(protocol: Protocol, model: str, unit: str, limit: float, wait: float) -> SimulatedRefusal:
    """The refusal of a call over a limit of `requests`, `tokens` or `concurrent` calls; `wait` in seconds."""
    if protocol == "anthropic":
        rate = "concurrent connections" if unit == "concurrent" else f"{limit:g} {unit} per minute"
        return SimulatedRefusal(429, f"This request would exceed your organization's rate limit of {rate}.")
    if protocol.startswith("google"):
        message = f"You exceeded your current quota: {limit:g} {unit} per minute. Please retry in {wait:.9g}s."
        return SimulatedRefusal(429, message, retry_after=round(wait, 3))
    if unit == "concurrent":
        return SimulatedRefusal(429, f"Too many concurrent requests for {model}: at most {limit:g}.", type="requests")
    short = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)"}[unit]
    message = f"Rate limit reached for {model} in organization org-simulated on {short}: LimitRule {limit:g}."
    return SimulatedRefusal(429, f"{message} Please try again in {spelled(wait)}.", type=unit)


def spelled(seconds: float) -> str:
    """A time as OpenAI writes it: 120ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
