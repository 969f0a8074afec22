"""The lines of the benchmarks' batches: those of a file over and over under new ids, or made ones of the same size."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

#: Models of the mix, one line each in turn.
MODELS = ("gpt-4", "claude-3-sonnet", "gemini-pro", "gpt-3.5-turbo")
SYSTEM = "Solve the problem. End with the number alone on the last line."
WORDS = "a box holds seven apples and the shop sells three of them each day how many are left after two weeks".split()
#: Of a question; its line then has about 500 bytes, as those of real files of questions have.
QUESTION_WORDS = (25, 70)


def lines(count: int, source: Path | None = None, *, model: str = "") -> Iterator[bytes]:
    """`count` lines, each with an id of its own. `model`: all of them ask for this one."""
    pattern = [orjson.loads(line) for line in source.read_bytes().splitlines()] if source else _made()
    for number in range(count):
        line = pattern[number % len(pattern)]
        body = line["body"] | ({"model": model} if model else {})
        yield orjson.dumps({**line, "custom_id": f"line-{number:06}", "body": body}) + b"\n"


@contextmanager
def file_of(count: int, source: Path | None = None, *, model: str = "") -> Iterator[Path]:
    """The same in a file, which goes with the context."""
    with tempfile.NamedTemporaryFile(prefix="fusionai-bench-", suffix=".jsonl") as file:
        file.writelines(lines(count, source, model=model))
        file.flush()
        yield Path(file.name)


def _made() -> list[dict[str, Any]]:
    dice = random.Random(1)
    return [_line(MODELS[number % len(MODELS)], dice) for number in range(1000)]


def _line(model: str, dice: random.Random) -> dict[str, Any]:
    question = " ".join(dice.choices(WORDS, k=dice.randint(*QUESTION_WORDS))).capitalize() + "?"
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    body = {"model": model, "messages": messages, "max_tokens": 400}
    return {"custom_id": "", "method": "POST", "url": "/v1/chat/completions", "body": body}
