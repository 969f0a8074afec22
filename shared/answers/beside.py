"""Names of what stands in choices, messages and deltas beside OpenAI's own fields. Pure."""

from typing import Final

#: Thoughts as their provider signed them, which come whole, with the finish reason.
SIGNED: Final = "thinking_blocks"
#: The same as it comes: what proves the thought before it, or a thought that is kept secret, as strings.
SIGNATURE: Final = "reasoning_signature"
REDACTED: Final = "reasoning_redacted"
#: Of a choice: the one of the request's `stop` at which it ended, beside the finish reason.
STOPPED_AT: Final = "stop_sequence"
#: The same of the provider's own word for why it ended, where it says more than OpenAI's (OpenRouter's name of it).
NATIVE: Final = "native_finish_reason"
#: What a provider wants back with a message or a tool call: sent with the finish reason, or with the call's name.
BESIDE: Final = "extra_content"
#: Pictures that were made, with the finish reason.
IMAGES: Final = "images"
