"""Tables as Parquet (spec 11 §4); the tests' environment has the optional package pyarrow."""

import json
from datetime import date, datetime

import pyarrow.parquet as parquet_files
import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from api.export import parquet
from api.export.columns import ColumnKind, ExportColumn
from api.export.copying import copy_to
from api.export.kinds import KINDS, table_of
from api.export.tables import NDJSON, PARQUET, ExportTable
from api.models import ExportJob

pytestmark = pytest.mark.django_db


@pytest.fixture
def without_arrow(monkeypatch):
    monkeypatch.setattr(parquet, "PACKAGE", "no_such_package")


@pytest.mark.parametrize("kind", KINDS)
def test_6_types_make_the_round_trip(customer, tmp_path, kind):
    """Acceptance 6: what is read back is what NDJSON has, and times are times."""
    table = table_of(kind, customer, {})
    told = tmp_path / "told"
    with told.open("wb") as file:
        rows = copy_to(table, NDJSON, file)
    assert rows > 0
    expected = [json.loads(line) for line in told.read_bytes().splitlines()]
    written = tmp_path / "written"
    with written.open("wb") as file:
        assert copy_to(table, PARQUET, file) == rows
    read = parquet_files.read_table(written).to_pylist()
    assert [list(row) for row in read] == [list(row) for row in expected]
    kinds = {column.name: column.kind for column in table.columns}
    for row, wanted in zip(read, expected, strict=True):
        for name, value in row.items():
            assert as_json(value, kinds[name]) == wanted[name], name


def as_json(value, kind):
    """Return what NDJSON has for a value that was read, which must be of the column's type."""
    if value is None:
        return None
    if kind is ColumnKind.MOMENT:
        assert isinstance(value, datetime)
        assert value.utcoffset().total_seconds() == 0
        return value.isoformat().replace("+00:00", "Z")
    if kind is ColumnKind.DATE:
        assert isinstance(value, date)
        return value.isoformat()
    if kind is ColumnKind.JSON:
        return json.loads(value)
    types = {ColumnKind.INTEGER: int, ColumnKind.NUMBER: float, ColumnKind.BOOLEAN: bool}
    assert type(value) is types.get(kind, str)
    return value


def test_6_odd_values_and_row_groups(db, tmp_path):
    """Acceptance 6, at the edges; a row group has 100,000 rows, an empty table has none."""
    columns = [
        ExportColumn("n", "number.n", ColumnKind.INTEGER),
        ExportColumn("group.text", "chr(mod(number.n, 50) + 1) || '\"\\é€😀'"),
        ExportColumn("moment", "timestamptz '0001-01-01Z'", ColumnKind.MOMENT),
        ExportColumn("late", "timestamptz '9999-12-31T23:59:59.999999Z'", ColumnKind.MOMENT),
        ExportColumn("day", "date '1969-12-31'", ColumnKind.DATE),
        ExportColumn("size", "(0.1::float8 + number.n)", ColumnKind.NUMBER),
        ExportColumn("nothing", "NULL::boolean", ColumnKind.BOOLEAN),
        ExportColumn("large", "9223372036854775807 - number.n", ColumnKind.INTEGER),
    ]
    path = tmp_path / "file"
    for rows, groups in ((250_001, [100_000, 100_000, 50_001]), (0, [])):
        table = ExportTable(
            columns,
            "FROM generate_series(1, %s) number (n)",
            "ORDER BY number.n",
            parameters=[rows],
        )
        with path.open("wb") as file:
            assert copy_to(table, PARQUET, file) == rows
        metadata = parquet_files.read_metadata(path)
        found = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        assert found == groups
        if rows:
            last = parquet_files.read_table(path).slice(rows - 1).to_pylist()[0]
            assert last["n"] == rows
            assert last["group.text"] == chr(rows % 50 + 1) + '"\\é€😀'
            assert (last["moment"].year, last["late"].microsecond) == (1, 999_999)
            assert last["day"] == date(1969, 12, 31)
            assert last["size"] == 0.1 + rows
            assert last["nothing"] is None
            assert last["large"] == 2**63 - 1 - rows


def test_a_deployment_without_the_package_says_so(without_arrow, customer):
    answer = Client(raise_request_exception=False).post(
        "/internal/api/cloudigrade/v1/exports/",
        json.dumps({"user_id": customer.id, "kind": "runs", "format": "parquet"}),
        content_type="application/json",
    )
    assert (answer.status_code, list(answer.json())) == (400, ["format"])
    assert "which this deployment lacks" in answer.json()["format"][0]
    assert not ExportJob.objects.exists()


def test_so_does_the_command(without_arrow, customer):
    with pytest.raises(CommandError, match="which this deployment lacks") as raised:
        call_command("export", "runs", "--user-id", str(customer.id), "--format", "parquet")
    assert raised.value.returncode == 2


def test_streams_are_not_parquet(as_customer):
    assert as_customer.get("/export/runs.parquet").status_code == 404
