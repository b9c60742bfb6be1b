"""An export of 100,000 instances, from PostgreSQL to a file (spec 11 §4)."""

from functools import partial
from tempfile import TemporaryFile

from django.db import connection

from api.export.copying import copy_to
from api.export.kinds import table_of
from api.export.tables import CSV, NDJSON, PARQUET
from tests.benchmarks.bench_explain import RUNS, Explained
from tests.benchmarks.suite import Operation

_BARE = {
    CSV: "COPY (SELECT * FROM api_instance) TO STDOUT (FORMAT csv)",
    NDJSON: "COPY (SELECT row_to_json(one) FROM api_instance one) TO STDOUT",
}
SECONDS = RUNS / 100_000
"""The goal is 100,000 rows of text a second, of the process and PostgreSQL together."""


class Export(Explained):
    """The same instances, in each form, as an export job writes them before it sends the file."""

    title = "export of 100,000 instances"

    def operations(self) -> list[Operation]:
        """Return the forms, each with a COPY of the bare table beside it where there is one."""
        found = []
        for form in (CSV, NDJSON, PARQUET):
            name = f"as {form}"
            found.append(
                Operation(
                    name,
                    partial(self.export, form),
                    check=self.check_rows,
                    target={"statements": 3} | ({"total_cpu_s": SECONDS} if form in _BARE else {}),
                )
            )
            if form in _BARE:
                bare = partial(self.copy, _BARE[form])
                found.append(Operation(f"{name}, barely: COPY of the table", bare, bare_of=name))
        return found

    def export(self, form: str) -> int:
        """Write the file; return the number of rows."""
        with TemporaryFile() as file:
            return copy_to(table_of("instances", self.user, {}), form, file)

    def copy(self, statement: str) -> None:
        """Write what is stored, as it is."""
        with TemporaryFile() as file, connection.cursor() as cursor:
            cursor.copy_expert(statement, file)

    def check_rows(self, rows: int) -> None:
        """All are there."""
        assert rows == RUNS
