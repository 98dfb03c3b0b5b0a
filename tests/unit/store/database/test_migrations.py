"""The migrations make the tables of the program, and an older version can use them."""

from __future__ import annotations

import ast
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from anchor.store.database import migrations, schema, sqlite
from anchor.store.database.acme_tables import METADATA
from anchor.store.database.engine import Database
from anchor.store.database.inspection import schema_differences
from anchor.store.database.settings import locate_database
from tests.support import quick_databases
from tests.support.database import make_database

VERSIONS = Path(migrations.__path__[0], "versions")
MIGRATIONS = sorted(VERSIONS.glob("[0-9]*.py"))

pytestmark = pytest.mark.usefixtures("real_databases")


@pytest.fixture
def database(tmp_path):
    """A database that the migrations made."""
    made = Database(locate_database({}, tmp_path))
    yield made
    made.close()


def test_the_migrations_make_the_tables_of_the_program(database):
    with database.read() as connection:
        assert schema_differences(connection) == []


def test_the_migrations_make_the_same_statements(database):
    def statements(connection):
        query = text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        return sorted(
            re.sub(r"\s+", " ", sql)
            for sql in connection.execute(query).scalars()
            if "alembic_version" not in sql
        )

    directly = create_engine("sqlite://")
    METADATA.create_all(directly)
    with database.read() as migrated, directly.connect() as made:
        assert statements(migrated) == statements(made)
    directly.dispose()


def test_the_tests_copy_what_the_migrations_make(database, tmp_path, monkeypatch):
    def contents(made):
        with made.read() as connection:
            dump = list(connection.connection.driver_connection.iterdump())
        made.close()
        return sorted(dump)

    monkeypatch.setattr(sqlite, "create_file", quick_databases.create_file_with_tables)

    assert contents(make_database(tmp_path, "copy.db")) == contents(database)


def test_threads_that_open_the_first_database_at_once_share_its_file(tmp_path, monkeypatch):
    at_once = threading.Barrier(4)
    path = tmp_path / "anchor.db"

    def create_and_wait(created):
        sqlite.create_file(created)
        if created != path:
            at_once.wait(10)

    monkeypatch.setattr(quick_databases, "create_file", create_and_wait)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(quick_databases.create_file_with_tables, [path] * 4))

    assert [path] == list(tmp_path.iterdir())
    made = create_engine(f"sqlite:///{path}")
    assert schema.HEAD == schema.current_version(made)
    made.dispose()


@pytest.mark.parametrize(
    ("statement", "difference"),
    [
        ("DROP TABLE imports", "the table imports is missing"),
        ("CREATE TABLE more (id INTEGER)", "there is a table more that should not be there"),
        ("ALTER TABLE bans DROP COLUMN reason", "the column bans.reason is missing"),
        ("ALTER TABLE bans ADD COLUMN more TEXT", "there is a column bans.more that should not"),
        ("DROP INDEX failures_expires", "the index failures_expires is missing"),
        ("CREATE INDEX more ON bans (reason)", "there is an index more that should not be there"),
    ],
)
def test_every_difference_from_the_tables_is_noticed(database, statement, difference):
    with database.write() as connection:
        connection.execute(text(statement))

    with database.read() as connection:
        [found] = schema_differences(connection)
    assert difference in found


def test_the_numbers_of_the_migrations_have_no_gaps():
    numbers = [path.name.split("_")[0] for path in MIGRATIONS]

    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert numbers[-1] == schema.HEAD


def incompatible_operations(source):
    """The operations of a migration with which the version before it could not work.

    Nodes are upgraded one after the other, so the version before has to read and write the new
    tables.  A table or a column is removed one version after the last one that uses it: the
    migration then says so in the comment ``# unused since 000N`` at the operation.
    """
    lines = source.splitlines()
    found = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = ast.unparse(call.func)
        operation = name.rpartition(".")[2]
        arguments = {keyword.arg: keyword.value for keyword in call.keywords}
        explained = any(
            "# unused since" in line for line in lines[call.lineno - 1 : call.end_lineno]
        )
        reason = None
        if operation in {"drop_table", "drop_column"} and not explained:
            reason = "removes"
        elif operation in {"rename_table", "rename_column"}:
            reason = "renames"
        elif operation == "alter_column":
            if not _is_true(arguments.get("nullable", ast.Constant(True))):
                reason = "forbids null in"
            elif arguments.keys() & {"new_column_name", "name"}:
                reason = "renames"
            elif "type_" in arguments:
                reason = "changes the type of"
        elif operation == "add_column":
            reason = _reason_of_column(call)
        elif operation in {
            "create_unique_constraint",
            "create_check_constraint",
            "create_exclude_constraint",
            "create_foreign_key",
        } or (operation == "create_index" and _is_true(arguments.get("unique"))):
            reason = "may refuse the rows of"
        elif operation in {"execute", "exec_driver_sql"} and name.startswith("op."):
            reason = "cannot be judged:"
        if reason is not None:
            found.append(f"line {call.lineno} {reason} {ast.unparse(call)}")
    return found


def _reason_of_column(call):
    """Why the column that is added is refused, or None."""
    for column in ast.walk(call):
        if isinstance(column, ast.Call) and ast.unparse(column.func).rpartition(".")[2] == "Column":
            keywords = {keyword.arg: keyword.value for keyword in column.keywords}
            nullable = _is_true(keywords.get("nullable", ast.Constant(True)))
            if not nullable and "server_default" not in keywords:
                return "forbids null without a server_default in"
            return None
    return "has no visible Column:"


def _is_true(node):
    return isinstance(node, ast.Constant) and node.value is True


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: path.stem)
def test_the_version_before_can_use_the_migrated_tables(path):
    assert incompatible_operations(path.read_text()) == []


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ("op.drop_table('bans')", "removes"),
        ("op.drop_column('bans', 'reason')", "removes"),
        ("op.rename_table('bans', 'blocks')", "renames"),
        ("op.alter_column('bans', 'reason', new_column_name='why')", "renames"),
        ("op.alter_column('bans', 'until', nullable=False)", "forbids null in"),
        ("op.alter_column('bans', 'until', nullable=NULLABLE)", "forbids null in"),
        ("op.alter_column('bans', 'until', type_=sa.Integer)", "changes the type"),
        ("op.add_column('bans', sa.Column('by', sa.Text, nullable=False))", "forbids null without"),
        ("op.add_column('bans', Column('by', Text, nullable=False))", "forbids null without"),
        ("op.add_column('bans', BY)", "has no visible Column"),
        ("op.create_unique_constraint('u', 'bans', ['reason'])", "may refuse"),
        ("op.create_index('u', 'bans', ['reason'], unique=True)", "may refuse"),
        ("op.execute('DROP TABLE bans')", "cannot be judged"),
        ("with op.batch_alter_table('bans') as batch: batch.drop_column('reason')", "removes"),
    ],
)
def test_an_operation_that_the_version_before_cannot_use_is_noticed(operation, reason):
    found = incompatible_operations(f"def upgrade():\n    {operation}\n")

    assert reason in found[0]


@pytest.mark.parametrize(
    "operation",
    [
        "op.add_column('bans', sa.Column('by', sa.Text))",
        "op.add_column('bans', sa.Column('by', sa.Text, nullable=False, server_default=''))",
        "op.alter_column('bans', 'reason', nullable=True)",
        "op.create_index('bans_reason', 'bans', ['reason'])",
        "op.drop_index('bans_reason', 'bans')",
        "op.create_table('more', sa.Column('id', sa.Integer, nullable=False))",
        "op.drop_column('bans', 'reason')  # unused since 0003",
    ],
)
def test_an_operation_that_the_version_before_can_use_is_allowed(operation):
    assert incompatible_operations(f"def upgrade():\n    {operation}\n") == []
