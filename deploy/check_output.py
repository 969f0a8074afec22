"""Checks an output file of `fusionai submit` against its input: every line answered once, by a job of its own."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def main() -> None:
    asked, answered = lines(sys.argv[1]), lines(sys.argv[2])
    wrong = [row for row in answered if row["error"] or row["response"]["status_code"] != 200 or not used(row)]
    assert Counter(row["custom_id"] for row in asked) == Counter(row["custom_id"] for row in answered), "lines differ"
    assert len({row["response"]["request_id"] for row in answered}) == len(asked), "two lines share a job"
    assert not wrong, f"{len(wrong)} lines were not answered, such as {wrong[0]}"
    print(f"{len(answered):,} lines, each answered once")


def used(row: dict[str, Any]) -> bool:
    return bool(row["response"]["body"]["usage"]["total_tokens"] > 0)


if __name__ == "__main__":
    main()
