"""Finds out in which language a conversation is, offline, for dialects whose callers need not say.

py3langid's model (139 languages) takes about a second and 90 MB to load, so a process loads it when it is first needed,
on a thread. Its confidence is calibrated: below LEAST nothing is said, since a wrong language is worse than none.
"""

import asyncio
import logging
import threading
from functools import cache
from typing import Any, Final

from shared.submissions.languages import NAMES

log = logging.getLogger(__name__)

#: How sure it has to be.
LEAST: Final = 0.6
#: Characters that are looked at.
MOST: Final = 2_000
_LOADING: Final = threading.Lock()


async def load() -> None:
    """Have the model ready before `detect` is called in an event loop."""
    if not _identifier.cache_info().currsize:
        await asyncio.to_thread(_loaded)


def detect(messages: Any) -> str:
    """The ISO 639-1 code of the language of the user's last text, of messages as they were sent; empty: not known."""
    text = _last_text(messages)[:MOST].strip()
    identifier = _loaded() if text else None
    if identifier is None:
        return ""
    code, confidence = identifier.classify(text)
    return code if confidence >= LEAST and code in NAMES else ""


def _loaded() -> Any:
    with _LOADING:
        return _identifier()


@cache
def _identifier() -> Any:
    """The model; None where the package is not installed."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        log.warning("languages are not detected: the package py3langid is not installed")
        return None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _last_text(messages: Any) -> str:
    """The text of the user's last message that has one; whatever is malformed is told when the request is read."""
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user" and (text := _text(message.get("content"))):
            return text
    return ""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))
