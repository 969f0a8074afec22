"""Checks an output file of `fusionai submit` against its input: every line answered once, in order, and charged."""

import json
import sys
from pathlib import Path


def lines(path: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def main() -> None:
    asked, answered = lines(sys.argv[1]), lines(sys.argv[2])
    wrong = [row for row in answered if row["status"] != "succeeded" or not charged(row)]
    assert [row["custom_id"] for row in asked] == [row["custom_id"] for row in answered], "lines differ or moved"
    assert len({row["job_id"] for row in answered}) == len(asked), "two lines share a job"
    assert not wrong, f"{len(wrong)} lines were not answered and charged, such as {wrong[0]}"
    print(f"{len(answered):,} lines, each answered once and charged")


def charged(row: dict[str, object]) -> bool:
    usage = row["usage"]
    return isinstance(usage, dict) and usage["credits_used"] > 0


if __name__ == "__main__":
    main()
