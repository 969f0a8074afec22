"""`make migration`: a draft in this repository's style, of what the models have and a migrated database has not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import BigInteger, Column, Index, Table
from sqlmodel import AutoString

from deploy import new_migration
from shared.db import models


@pytest.fixture
def events() -> Iterator[Table]:
    """The table of events, which a test may add to."""
    before = list(models.events.columns)
    yield models.events
    for index in [index for index in models.events.indexes if index.name == "events_by_colour"]:
        models.events.indexes.discard(index)
    for column in [column for column in models.events.columns if column not in before]:
        models.events._columns.remove(column)  # type: ignore[attr-defined]


def newest() -> str:
    return max(re.findall(r"^(\d{4})_", "\n".join(path.name for path in new_migration.VERSIONS.iterdir()), re.M))


def assigned(file: Path) -> dict[str, object]:
    """What a migration says of itself."""
    found: dict[str, object] = {}
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = ast.literal_eval(node.value)
    return found


def body(file: Path, function: str) -> str:
    (found,) = [node for node in ast.parse(file.read_text()).body if getattr(node, "name", "") == function]
    assert isinstance(found, ast.FunctionDef)
    return "\n".join(ast.unparse(statement) for statement in found.body)


def test_without_a_change_it_is_empty_and_follows_the_newest(tmp_path: Path) -> None:
    made = new_migration.write("image_sizes", tmp_path)
    assert made == tmp_path / f"{int(newest()) + 1:04d}_image_sizes.py"
    assert made.read_text().startswith('"""Image sizes."""\n')
    said = assigned(made)
    assert said == {
        "revision": made.name[:4],
        "down_revision": newest(),
        "branch_labels": None,
        "depends_on": None,
    }
    assert (body(made, "upgrade"), body(made, "downgrade")) == ("pass", "pass")


def test_what_the_models_have_is_added_and_taken_away_again(tmp_path: Path, events: Table) -> None:
    events.append_column(Column("colour", AutoString(), nullable=True))
    events.append_column(Column("weight", BigInteger(), nullable=False, server_default="0"))
    Index("events_by_colour", events.c.colour)
    made = new_migration.write("colours", tmp_path)
    assert body(made, "upgrade").splitlines() == [
        "op.add_column('events', sa.Column('colour', sa.String(), nullable=True))",
        "op.add_column('events', sa.Column('weight', sa.BigInteger(), server_default='0', nullable=False))",
        "online.create_index('events_by_colour', 'events', ['colour'], unique=False)",
    ]
    assert body(made, "downgrade").splitlines() == [
        "op.drop_index('events_by_colour', table_name='events')",
        "op.drop_column('events', 'weight')",
        "op.drop_column('events', 'colour')",
    ]


@pytest.mark.parametrize("name", ["", "Image sizes", "../x", "x" * 41])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit, match="is no name"):
        new_migration.write(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
