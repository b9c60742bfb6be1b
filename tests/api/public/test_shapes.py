"""What is read, sent and described of a resource follows from one declaration (decision 180)."""

from datetime import UTC, datetime
from typing import Annotated, ClassVar

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from api.public import schema
from api.public.resources import ACCOUNTS
from api.public.shapes import Member, Shape, ShapePart, columns_of, serializer_of
from tests import factories

MOMENT = datetime(2023, 3, 1, 12, 30, tzinfo=UTC)


class _Thing(ShapePart):
    table: ClassVar[str] = "thing"


class Round(_Thing):
    """A part of round things."""

    cloud: ClassVar[str] = "round"

    radius: int
    made: datetime


class Square(_Thing):
    """A part of square things."""

    cloud: ClassVar[str] = "square"

    side: Annotated[int, Member("thing.radius"), Meta(ge=0, description="Of each side.")]
    made: datetime


class More(_Thing):
    """What is shown on request."""

    colour: str | None
    weight: Annotated[int, Member("thing.mass * 2")]


class Thing(_Thing):
    """A thing."""

    thing_id: Annotated[int, Member("thing.id")]
    name: Annotated[str | None, Member(convert=lambda name: name and name.upper())]
    cloud_type: str
    part: Round | Square
    more: More | UnsetType = UNSET


ROW = {
    "thing.id": 7,
    "thing.name": "x",
    "thing.cloud_type": "square",
    "thing.radius": 3,
    "thing.made": MOMENT,
    "thing.colour": None,
    "thing.mass * 2": 8,
}


def shown(shape, **columns):
    row = ROW | {f"thing.{name}": value for name, value in columns.items()}
    return msgspec.json.encode(shape.read([row[column] for column in shape.columns])).decode()


def test_each_column_is_read_once_and_only_those_that_are_shown():
    on_request = {"thing.colour", "thing.mass * 2"}
    assert sorted(Shape(Thing).columns) == sorted(ROW.keys() - on_request)
    assert sorted(Shape(Thing, including=["more"]).columns) == sorted(ROW)
    assert columns_of(More) == {"colour": "thing.colour", "weight": "thing.mass * 2"}


def test_objects_have_the_part_of_their_cloud():
    square = '"side":3,"made":"2023-03-01T12:30:00Z"'
    whole = '{{"thing_id":7,"name":{},"cloud_type":"{}","part":{{{}}}{}}}'
    assert shown(Shape(Thing)) == whole.format('"X"', "square", square, "")
    more = ',"more":{"colour":null,"weight":8}'
    assert shown(Shape(Thing, including=["more"]), name=None) == whole.format(
        "null", "square", square, more
    )
    round_ = square.replace("side", "radius")
    assert shown(Shape(Thing), cloud_type="round") == whole.format('"X"', "round", round_, "")


def test_serializers_describe_the_members_in_order():
    fields = serializer_of(Thing)().fields
    assert list(fields) == ["thing_id", "name", "cloud_type", "part", "more"]
    assert [name for name, field in fields.items() if field.allow_null] == ["name"]
    assert [name for name, field in fields.items() if not field.required] == ["more"]
    side = serializer_of(Square)().fields["side"]
    assert (side.min_value, side.help_text) == (0, "Of each side.")


@pytest.mark.django_db
def test_an_account_is_the_same_from_a_model(as_a, customer_a):
    """The internal API shows accounts that it has made as the public API lists them."""
    accounts = [
        factories.make_aws_account(user=customer_a),
        factories.make_azure_account(user=customer_a),
    ]
    listed = as_a.get("/accounts/").json()["data"]
    assert [msgspec.to_builtins(ACCOUNTS.of_model(account)) for account in accounts] == listed


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "component"),
    [
        ("/accounts/", "CloudAccount"),
        ("/instances/?include=state", "Instance"),
        ("/images/", "MachineImage"),
    ],
)
def test_documents_have_the_order_of_the_wire(as_a, customer_a, path, component):
    account = factories.make_aws_account(user=customer_a)
    factories.make_instance(account=account, image=factories.make_aws_image())
    [row] = as_a.get(path).json()["data"]
    described = schema.document()["components"]["schemas"]
    assert list(row) == list(described[component]["properties"])
    content = described[f"Aws{component}Content"]
    assert list(row["content_object"]) == list(content["properties"])
