"""Databases in the shape of the original, made by SQL from appendix A, to be copied by tests."""

import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
from django.db import connection
from psycopg2.extras import Json, execute_values

from tests.cloudigrade.programs import ROOT

APPENDIX = ROOT / "docs" / "spec" / "appendix-a-original-tables.md"
MODELS = (
    "awscloudaccount", "awsinstance", "awsinstanceevent", "awsmachineimage", "azurecloudaccount",
    "azureinstance", "azureinstanceevent", "azuremachineimage",
)  # fmt: skip
FIRST_CONTENT_TYPE = 31

BEGIN = datetime(2023, 3, 1, tzinfo=UTC)


def statements(*, strict: bool = True) -> Iterator[str]:
    """Yield the statements that make the tables; without constraints if they hold bad data."""
    yield (
        "CREATE TABLE django_content_type (id serial PRIMARY KEY, app_label text, model text);"
        "CREATE TABLE django_migrations (app text, name text, applied timestamptz)"
    )
    for name, columns, unique in re.findall(
        r"^\*\*(\w+)\*\*: (.*?)\.(?: Unique: (.*)\.)?$", APPENDIX.read_text(), re.MULTILINE
    ):
        parts: list[str] = []
        for column in columns.split("; "):
            found = re.fullmatch(r"`(\w+)` ([\w()]+?)(\?)?(?: -> (\w+)\.(\w+))?", column)
            assert found, column
            kind = re.sub(r"text\((\d+)\)", r"varchar(\1)", found[2])
            nullable = found[3] or not strict
            key = " PRIMARY KEY" if not parts else "" if nullable else " NOT NULL"
            parts.append(f"{found[1]} {kind}{key}")
        if strict and unique:
            parts += [
                f"UNIQUE {columns}"
                for columns in unique.split("), (")
                for columns in ["(" + columns.strip("()") + ")"]
            ]
        yield f"CREATE TABLE {name} ({', '.join(parts)})"


class OriginalDatabase:
    """A connection to such a database, and its address."""

    def __init__(self, name: str) -> None:
        settings = connection.settings_dict
        self.url = (
            f"postgresql://{settings['USER']}:{settings['PASSWORD'] or 'x'}@{settings['HOST']}"
            f":{settings['PORT']}/{name}"
        )
        self.connection = psycopg2.connect(self.url)
        self.connection.autocommit = True
        self.types: dict[str, int] = {}

    def execute(self, sql: str, values: Any = None) -> list[tuple]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def make_tables(self, *, strict: bool = True) -> None:
        for statement in statements(strict=strict):
            self.execute(statement)
        self.execute(
            "INSERT INTO django_migrations VALUES ('api', '0064_user_is_permanent', now())"
        )
        for number, model in enumerate(MODELS, start=FIRST_CONTENT_TYPE):
            self.execute("INSERT INTO django_content_type VALUES (%s, 'api', %s)", [number, model])
            self.types[model] = number

    def insert(self, table: str, **columns: Any) -> None:
        self.insert_many(table, [columns])

    def insert_many(self, table: str, rows: list[dict[str, Any]]) -> None:
        stamps = {"created_at": BEGIN, "updated_at": BEGIN}
        has_stamps = table != "user" and not table.endswith("copy")
        full = [{**(stamps if has_stamps else {}), **row} for row in rows]
        names = list(full[0])
        with self.connection.cursor() as cursor:
            execute_values(
                cursor,
                f"INSERT INTO api_{table} ({', '.join(names)}) VALUES %s",
                [[row[name] for name in names] for row in full],
            )

    def dump(self) -> str:
        """Return all that is in it."""
        tables = self.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(api|django)_'"
            " ORDER BY 1"
        )
        return json.dumps(
            [self.execute(f"SELECT t::text FROM {table} t ORDER BY 1") for (table,) in tables]
        )

    # Rows as the original has them.

    def user(self, id: int, **columns: Any) -> None:
        self.insert("user", **{
            "id": id, "password": "secret", "uuid": f"uuid-{id}", "account_number": f"10000{id}",
            "org_id": f"20000{id}", "is_active": True, "is_superuser": False,
            "date_joined": BEGIN, "is_permanent": False,
        } | columns)  # fmt: skip

    def account(self, id: int, user: int, cloud: str = "aws", **columns: Any) -> None:
        part = columns.pop("part", {})
        numbers = (
            {"aws_account_id": 1000 + id, "account_arn": f"arn:aws:iam::{1000 + id:012}:role/r"}
            if cloud == "aws"
            else {"subscription_id": f"00000000-0000-0000-0000-{id:012}"}
        )
        self.insert(f"{cloud}cloudaccount", **{"id": id + 500} | numbers | part)
        self.insert("cloudaccount", **{
            "id": id, "object_id": id + 500, "user_id": user, "is_enabled": True,
            "content_type_id": self.types[f"{cloud}cloudaccount"], "enabled_at": BEGIN,
            "platform_authentication_id": 10 * id, "platform_source_id": 10 * id + 1,
            "platform_application_id": 10 * id + 2, "platform_application_is_paused": False,
            "is_synthetic": False,
        } | columns)  # fmt: skip

    def image(self, id: int, cloud: str = "aws", **columns: Any) -> None:
        part = columns.pop("part", {})
        own = (
            {"ec2_ami_id": f"ami-{id}", "owner_aws_account_id": 77, "region": "us-east-1",
             "aws_marketplace_image": False, "platform": "none", "platform_details": "Linux/UNIX",
             "usage_operation": "RunInstances", "product_codes": Json([])}
            if cloud == "aws"
            else {"resource_id": f"sku-{id}", "azure_marketplace_image": False, "region": "eastus"}
        )  # fmt: skip
        self.insert(f"{cloud}machineimage", **{"id": id + 700} | own | part)
        self.insert("machineimage", **{
            "id": id, "object_id": id + 700, "content_type_id": self.types[f"{cloud}machineimage"],
            "inspection_json": None, "is_encrypted": False, "status": "inspected",
            "openshift_detected": False, "name": f"image {id}", "rhel_detected_by_tag": False,
            "architecture": "x86_64" if cloud == "aws" else "x64",
        } | columns)  # fmt: skip

    def instance(self, id: int, account: int, image: int | None, cloud: str = "aws",
                 **columns: Any) -> None:  # fmt: skip
        part = columns.pop("part", {})
        key = (
            {"ec2_instance_id": f"i-{id}", "region": "us-east-1"}
            if cloud == "aws"
            else {"resource_id": f"/subscriptions/{account}/VM{id}", "region": "eastus"}
        )
        self.insert(f"{cloud}instance", **{"id": id + 9000} | key | part)
        self.insert("instance", **{
            "id": id, "object_id": id + 9000, "cloud_account_id": account,
            "content_type_id": self.types[f"{cloud}instance"], "machine_image_id": image,
        } | columns)  # fmt: skip

    def event(self, id: int, instance: int, kind: str, at: datetime | None, cloud: str = "aws",
              **columns: Any) -> None:  # fmt: skip
        part = columns.pop("part", {"instance_type": "m5.large"})
        if cloud == "aws":
            part = {"subnet": "subnet-1", **part}
        self.insert(f"{cloud}instanceevent", **{"id": id + 70_000} | part)
        self.insert("instanceevent", **{
            "id": id, "object_id": id + 70_000, "event_type": kind, "occurred_at": at,
            "content_type_id": self.types[f"{cloud}instanceevent"], "instance_id": instance,
        } | columns)  # fmt: skip


@contextmanager
def original_database(name: str, *, strict: bool = True) -> Iterator[OriginalDatabase]:
    """Make a database with the original's tables, and drop it afterwards."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    try:
        database = OriginalDatabase(name)
        database.make_tables(strict=strict)
        yield database
        database.connection.close()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def fill(database: OriginalDatabase, *, instances: int, seed: int = 1) -> None:
    """Store customers of both clouds with so many instances and three weeks of events."""
    rng = random.Random(seed)
    database.insert("instancedefinition", id=1, instance_type="m5.large", memory_mib=8192, vcpu=2,
                    json_definition=Json({}), cloud_type="aws")  # fmt: skip
    accounts = [
        (number, 1 + number % 5, "azure" if number > 8 else "aws") for number in range(1, 12)
    ]
    for user in range(1, 6):
        database.user(user)
    for number, user, cloud in accounts:
        database.account(number, user, cloud)
    results = [
        {"rhel_release_files_found": True, "rhel_version": "8.6",
         "syspurpose": {"role": role, "service_level_agreement": sla, "usage": "Production"}}
        for role in ("Red Hat Enterprise Linux Server", "")
        for sla in ("Premium", "Standard")
    ]  # fmt: skip
    for image in range(1, 25):
        database.image(
            image,
            inspection_json=json.dumps(rng.choice([*results, {}])),
            rhel_detected_by_tag=image % 7 == 0,
            architecture=rng.choice(["x86_64", "arm64"]),
        )
    for image in range(25, 30):
        reference = {"publisher": "RedHat", "offer": f"RHEL-{image}", "sku": f"sku-{image}"}
        database.image(
            image,
            "azure",
            inspection_json=json.dumps({"image_reference": reference}),
            rhel_detected_by_tag=image % 2 == 0,
        )
    _fill_instances(database, rng, accounts, instances)


def _fill_instances(
    database: OriginalDatabase, rng: random.Random, accounts: list, instances: int
) -> None:
    own: dict[str, list[dict]] = {"awsinstance": [], "azureinstance": []}
    base: list[dict] = []
    details: dict[str, list[dict]] = {"awsinstanceevent": [], "azureinstanceevent": []}
    events: list[dict] = []
    for number in range(1, instances + 1):
        account, _, cloud = rng.choice(accounts)
        image = rng.randrange(25, 30) if cloud == "azure" else rng.choice([*range(1, 25), None])
        key = {"ec2_instance_id": f"i-{number:x}"} if cloud == "aws" else {
            "resource_id": f"/subscriptions/{account}/VM{number}"}  # fmt: skip
        own[f"{cloud}instance"].append({"id": number, "region": "somewhere", **key})
        base.append(
            {"id": number, "object_id": number, "cloud_account_id": account,
             "content_type_id": database.types[f"{cloud}instance"], "machine_image_id": image}
        )  # fmt: skip
        at = BEGIN + timedelta(hours=rng.randrange(0, 100))
        for place in range(rng.randrange(1, 9)):
            kind = ("power_on", "power_off")[place % 2]
            # Some logs were delivered twice.
            for _ in range(1 + (rng.random() < 0.2)):
                event = len(events) + 1
                part = {"id": event, "instance_type": rng.choice(["m5.large", None])}
                if cloud == "aws":
                    part["subnet"] = None
                details[f"{cloud}instanceevent"].append(part)
                events.append(
                    {"id": event, "object_id": event, "event_type": kind, "occurred_at": at,
                     "content_type_id": database.types[f"{cloud}instanceevent"],
                     "instance_id": number}
                )  # fmt: skip
            at += timedelta(minutes=rng.choice([0, 30, 600, 3000]))
    for tables in (own, {"instance": base}, details, {"instanceevent": events}):
        for table, rows in tables.items():
            database.insert_many(table, rows)
