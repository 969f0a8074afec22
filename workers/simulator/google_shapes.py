"""The shapes of Gemini's requests, field by field: what the real one does not know it refuses, naming it.

Source: https://ai.google.dev/api/generate-content, https://ai.google.dev/api/caching#Content and .../embeddings, and
what google-genai 3.4 writes for them. Tables have camelCase names; a refusal names places in snake_case, as the real
one does: `Invalid JSON payload received. Unknown name "foo" at 'generation_config': Cannot find field.`
"""

import re
from typing import Any, Final

from workers.simulator.messages import SimulatedRefusal

#: Whatever the caller writes.
FREE: Final = object()
#: A whole number of 32 bits, or any number.
INT: Final = "TYPE_INT32"
NUMBER: Final = "TYPE_FLOAT"
TEXT: Final = "TYPE_STRING"
BOOL: Final = "TYPE_BOOL"

_BLOB: Final = {"mimeType": TEXT, "data": TEXT, "displayName": TEXT}
_FILE: Final = {"mimeType": TEXT, "fileUri": TEXT, "displayName": TEXT}
_RESOLUTION: Final = {"level": TEXT, "numTokens": INT}
_OF_RESULT: Final = {"inlineData": _BLOB, "fileData": _FILE, "mediaResolution": _RESOLUTION}
_RESULT: Final = {
    "id": TEXT,
    "name": TEXT,
    "response": FREE,
    "parts": [_OF_RESULT],
    "willContinue": BOOL,
    "scheduling": TEXT,
}
PART: Final = {
    "text": TEXT,
    "thought": BOOL,
    "thoughtSignature": TEXT,
    "inlineData": _BLOB,
    "fileData": _FILE,
    "functionCall": {"id": TEXT, "name": TEXT, "args": FREE},
    "functionResponse": _RESULT,
    "executableCode": FREE,
    "codeExecutionResult": FREE,
    "videoMetadata": FREE,
    "mediaResolution": _RESOLUTION,
    "partMetadata": FREE,
    "toolCall": FREE,
    "toolResponse": FREE,
}
#: Of these a part must have one.
DATA: Final = tuple(
    "text inlineData fileData functionCall functionResponse executableCode codeExecutionResult toolCall "
    "toolResponse".split()
)
CONTENT: Final = {"role": TEXT, "parts": [PART]}
_DECLARATION: Final = {
    "name": TEXT,
    "description": TEXT,
    "behavior": TEXT,
    "parameters": FREE,
    "parametersJsonSchema": FREE,
    "response": FREE,
    "responseJsonSchema": FREE,
}
_TOOL: Final = {
    "functionDeclarations": [_DECLARATION],
    **dict.fromkeys("googleSearch codeExecution urlContext computerUse fileSearch googleMaps".split(), FREE),
    **dict.fromkeys("googleSearchRetrieval mcpServers".split(), FREE),
}
_CALLING: Final = {"mode": TEXT, "allowedFunctionNames": [TEXT]}
_CONFIG: Final = {
    **dict.fromkeys("candidateCount maxOutputTokens topK seed logprobs".split(), INT),
    **dict.fromkeys("temperature topP presencePenalty frequencyPenalty".split(), NUMBER),
    "stopSequences": [TEXT],
    "responseMimeType": TEXT,
    "responseSchema": FREE,
    "responseJsonSchema": FREE,
    "responseLogprobs": BOOL,
    "responseModalities": [TEXT],
    "thinkingConfig": {"includeThoughts": BOOL, "thinkingBudget": INT, "thinkingLevel": TEXT},
    "imageConfig": {"aspectRatio": TEXT, "imageSize": TEXT},
    "mediaResolution": TEXT,
    "speechConfig": FREE,
    "enableEnhancedCivicAnswers": BOOL,
    "audioTranscriptionConfig": FREE,
}
GENERATE: Final = {
    "model": TEXT,
    "contents": [CONTENT],
    "systemInstruction": CONTENT,
    "tools": [_TOOL],
    "toolConfig": {
        "functionCallingConfig": _CALLING,
        "retrievalConfig": FREE,
        "includeServerSideToolInvocations": BOOL,
    },
    "safetySettings": [{"category": TEXT, "threshold": TEXT}],
    "generationConfig": _CONFIG,
    "cachedContent": TEXT,
    "serviceTier": TEXT,
    "store": BOOL,
    "labels": FREE,
    "continuationToken": TEXT,
}
EMBED: Final = {"model": TEXT, "content": CONTENT, "taskType": TEXT, "title": TEXT, "outputDimensionality": INT}
BATCH: Final = {"requests": [EMBED]}
COUNT: Final = {**GENERATE, "generateContentRequest": GENERATE}

_CAPITAL: Final = re.compile(r"([A-Z])")
_MOST_INT: Final = 2**31


def check(value: Any, shape: Any, at: str = "") -> None:
    """A 400 for the first field that is not known, or is of another type."""
    if shape is FREE or value is None:
        return
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise _invalid(at, "repeated field", value)
        for number, one in enumerate(value):
            check(one, shape[0], f"{at}[{number}]")
    elif isinstance(shape, dict):
        _check_object(value, shape, at)
    elif not _is(value, shape):
        raise _invalid(at, shape, value)


def _check_object(value: Any, shape: dict[str, Any], at: str) -> None:
    if not isinstance(value, dict):
        raise _invalid(at, "message", value)
    for name, given in value.items():
        if name not in shape:
            where = f" at '{at}'" if at else ""
            why = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
            raise SimulatedRefusal(400, why, param=at)
        snake = _CAPITAL.sub(lambda found: f"_{found[1].lower()}", name)
        check(given, shape[name], f"{at}.{snake}" if at else snake)


def _is(value: Any, kind: str) -> bool:
    if kind in (TEXT, BOOL):
        return isinstance(value, str if kind == TEXT else bool)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return kind == NUMBER or (value == int(value) and -_MOST_INT <= value < _MOST_INT)


def _invalid(at: str, kind: str, value: Any) -> SimulatedRefusal:
    return SimulatedRefusal(400, f"Invalid value at '{at}' ({kind}), {str(value)[:100]}", param=at)
