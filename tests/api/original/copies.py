"""Copying a database of the original, what was copied, and what should have been."""

import io
import json
from collections import defaultdict
from datetime import UTC, datetime

import time_machine
from django.core.management import call_command
from django.db import connection

from api.models import ConcurrentUsage
from api.original import copying
from tests.api.metering import reference

NOW = datetime(2023, 3, 25, 1, tzinfo=UTC)
KINDS = [step.name for step in copying.STEPS]


def run(database, *options):
    """Copy; return the reports by the names of kinds."""
    out = io.StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command(
            "import_original", "--database-url", database.url, "--json", *options, stdout=out
        )
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    return {line["table"]: line for line in lines if "table" in line}


def copied(reports):
    return [reports[kind]["copied"] for kind in KINDS]


TABLES = (
    "api_user", "api_usertasklock", "api_cloudaccount", "api_accountstate", "api_machineimage",
    "api_imagetags", "api_instance", "api_instanceevent", "api_inspectionattempt",
    "api_instancedefinition",
)  # fmt: skip


_IMAGE = """(SELECT concat_ws(' ', user_id, offer, cloud_image_id)
             FROM api_machineimage image WHERE image.id = row.machine_image_id) AS of_image"""


def everything():
    """Return all rows that were copied, without moments of the copy and ids that are new."""
    found = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            has_image = table in ("api_imagetags", "api_instance", "api_inspectionattempt")
            cursor.execute(f"SELECT row.*{', ' + _IMAGE if has_image else ''} FROM {table} row")
            names = [column.name for column in cursor.description]
            left_out = {"updated_at", "machine_image_id"}
            if table in ("api_usertasklock", "api_accountstate", "api_imagetags"):
                left_out |= {"id", "created_at"}
            if table == "api_machineimage":
                left_out.add("id")
            rows = [
                str([value for name, value in zip(names, row, strict=True) if name not in left_out])
                for row in cursor.fetchall()
            ]
            found[table] = sorted(rows)
    return found


def usage():
    rows = ConcurrentUsage.objects.order_by("user_id", "date")
    found = rows.values_list("user_id", "date", "maximum_counts")
    return [(user_id, day, sorted(counts)) for user_id, day, counts in found]


def total(counts):
    """Return the number over everything."""
    return next(entry[5] for entry in counts if set(entry[:5]) == {"_ANY"})


class Expected:
    """The daily numbers of the original's data by the tests' reference implementation."""

    def __init__(self, database):
        images = {
            id: self._facets(*row)
            for id, *row in database.execute(
                "SELECT id, inspection_json, rhel_detected_by_tag, architecture"
                " FROM api_machineimage"
            )
        }
        owner = dict(
            database.execute(
                "SELECT i.id, user_id FROM api_instance i"
                " JOIN api_cloudaccount a ON a.id = cloud_account_id"
            )
        )
        image_of = dict(database.execute("SELECT id, machine_image_id FROM api_instance"))
        events = defaultdict(list)
        for instance, at, kind in database.execute(
            "SELECT instance_id, occurred_at, event_type FROM api_instanceevent ORDER BY id"
        ):
            events[instance].append((at, kind, ""))
        self.runs = defaultdict(list)
        for instance, told in events.items():
            for start, end in reference.expected_runs(told):
                self.runs[owner[instance]].append(
                    reference.ReferenceRun(start, end, images.get(image_of[instance]))
                )

    @staticmethod
    def _facets(result, is_tagged, architecture):
        told = json.loads(result or "{}")
        if not (is_tagged or told.get("rhel_release_files_found")):
            return None
        purpose = told.get("syspurpose", {})
        names = ("role", "service_level_agreement", "usage", "service_type")
        return (architecture, *(purpose.get(name, "") for name in names))

    def counts(self, user_id, day):
        return reference.expected_counts(self.runs[user_id], day)
