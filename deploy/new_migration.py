"""Writes the next migration from what the models have and a migrated database has not: `make migration name=…`.

What alembic finds is a draft: the docstring is to be put in words, and what it cannot see (rows to fill, constraints
of SQLite's tables, a column that was renamed) is written by hand. CONTRIBUTING.md says what a migration has to bear,
and `shared.db.migrations.rules` refuses what it must not do.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alembic import command
from alembic.operations import ops
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from shared.db import migrations

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = Path(migrations.__file__).parent / "versions"
#: What names a migration: its file is `0016_name.py`; alembic cuts a longer name off.
NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")
#: In a draft: the tables that it makes; an index, and its table; what makes one beside users.
_TABLE = re.compile(r"op\.create_table\(\s*['\"]([a-z0-9_]+)")
_INDEX = re.compile(r"op\.(create_index\(\s*['\"][a-z0-9_]+['\"],\s*['\"]([a-z0-9_]+))")
_IMPORT = "from shared.db.migrations import online\n"
#: What SQLite does to a table in place; anything else makes the table anew, which is left to alembic's batch mode.
_IN_PLACE = (ops.AddColumnOp, ops.DropColumnOp, ops.CreateIndexOp, ops.DropIndexOp)


def write(name: str, into: Path = VERSIONS) -> Path:
    """Write the draft of a migration to `into`; its number and its predecessor follow from those that there are."""
    if not NAME.fullmatch(name):
        raise SystemExit(f"make migration name=…: {name!r} is no name: small letters, digits and _, at most 40 of them")
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/migrated.sqlite3"
        migrations.migrate(url)
        engine = create_engine(url)
        with engine.connect() as connection:
            config = migrations.config(connection)
            config.cmd_opts = argparse.Namespace(quiet=True)
            config.set_main_option("path_separator", "os")
            config.set_main_option("version_locations", os.pathsep.join(map(str, dict.fromkeys((VERSIONS, into)))))
            heads = ScriptDirectory.from_config(config).get_heads()
            if len(heads) != 1:
                raise SystemExit(f"{' and '.join(heads)} have the same predecessor: put one of them after the other")
            command.revision(
                config,
                name.replace("_", " ").capitalize() + ".",
                autogenerate=True,
                rev_id=f"{int(heads[0]) + 1:04d}",
                version_path=str(into),
                process_revision_directives=_in_our_style,
            )
        engine.dispose()
    made = into / f"{int(heads[0]) + 1:04d}_{name}.py"
    _tidy(made)
    return made


def _in_our_style(_context: Any, _revision: Any, directives: list[Any]) -> None:
    """Leave out what only looks like a change, and name a table's simple changes one by one."""
    for script in directives:
        for changes in (script.upgrade_ops, script.downgrade_ops):
            changes.ops = [change for table in changes.ops for change in _simplified(table)]


def _simplified(change: Any) -> Iterator[Any]:
    if not isinstance(change, ops.ModifyTableOps):
        yield change
        return
    change.ops = list(_changed(change.ops))
    if all(isinstance(one, _IN_PLACE) for one in change.ops):
        yield from change.ops
    elif change.ops:
        yield change


def _changed(changes: Sequence[Any]) -> Iterator[Any]:
    """Without indexes that are dropped and made again as they were: SQLite does not tell that a column is DESC."""
    seen = Counter(shape for change in changes if (shape := _shape(change)) is not None)
    for change in changes:
        shape = _shape(change)
        if shape is None or seen[shape] == 1:
            yield change


def _shape(change: Any) -> tuple[str, ...] | None:
    """What there is to an index that is made or dropped; None of any other change."""
    if not isinstance(change, ops.CreateIndexOp | ops.DropIndexOp):
        return None
    index = change.to_index()
    columns = [str(getattr(column, "name", column)).removesuffix(" DESC") for column in index.expressions]
    where = str(index.dialect_options["sqlite"]["where"])
    return str(index.name), change.table_name or "", str(bool(index.unique)), where, *columns


def _tidy(file: Path) -> None:
    """Take alembic's comments out, and have ruff do the rest."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("# ### ")]
    file.write_text(_online("\n".join(lines)) + "\n")
    ruff, settings = [sys.executable, "-m", "ruff"], f"--config={ROOT / 'pyproject.toml'}"
    subprocess.run([*ruff, "check", "--quiet", "--fix", "--exit-zero", "--select=F,I", settings, str(file)], check=True)
    subprocess.run([*ruff, "format", "--quiet", settings, str(file)], check=True)


def _online(draft: str) -> str:
    """Have indexes of tables that are there already made beside their users."""
    upward, at, downward = draft.partition("\ndef downgrade")
    made = set(_TABLE.findall(upward))
    changed = _INDEX.sub(lambda found: found[0] if found[2] in made else f"online.{found[1]}", upward)
    if changed == upward:
        return draft
    return changed.replace("from alembic import op\n", f"from alembic import op\n{_IMPORT}", 1) + at + downward


def main() -> None:
    """Write it, and say where it is."""
    made = write(sys.argv[1] if len(sys.argv) > 1 else "")
    print(f"{made.relative_to(ROOT)}: a draft. Put its first line in words, and read the rest.")


if __name__ == "__main__":
    main()
