"""Pages of images whose inspection results are large are sent piece by piece (decisions 38, 43)."""

import gzip
import json

import pytest

from api.models import Instance, MachineImage
from tests import factories
from tests.api.internal.callers import ANYBODY, B
from util.batches import PIECE

pytestmark = pytest.mark.django_db


def result(number, size):
    document = {
        "rhel_release_files_found": True,
        "syspurpose": {"role": f"r{number}", "é\\": ['"']},
        "drives": '"' * size,
    }
    return json.dumps(document)


@pytest.fixture
def images(customer_a):
    """Images of a customer: small ones between some of which few make a piece."""
    account = factories.make_aws_account(user=customer_a)
    sizes = [10, PIECE // 5, 10, PIECE // 5, PIECE, 10, 10, PIECE // 5, PIECE // 5, PIECE // 5, 10]
    made = []
    for number, size in enumerate(sizes):
        text = result(number, size)
        made.append(factories.make_aws_image(inspection_json=text, product_codes=[{"a": 1}]))
        factories.make_instance(account=account, image=made[-1])
    return made


def body(answer):
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_it_is_the_page_of_all_details(as_a, images):
    answer = as_a.get("/images/?limit=100&rhel_detected=true")
    assert answer.streaming
    page = json.loads(body(answer))
    assert page["data"] == [as_a.get(f"/images/{image.id}/").json() for image in images]
    assert page["meta"] == {"count": len(images)}
    small = as_a.get("/images/?limit=1&rhel_detected=true")
    assert not small.streaming
    assert page["links"].keys() == small.json()["links"].keys()


@pytest.mark.parametrize("offset", range(10))
def test_any_page(as_a, images, offset):
    for limit in (1, 2, 5):
        page = json.loads(body(as_a.get(f"/images/?limit={limit}&offset={offset}")))
        expected = [image.id for image in images[offset : offset + limit]]
        assert [row["image_id"] for row in page["data"]] == expected
        assert all(row["inspection_json"] and row["syspurpose"] for row in page["data"])


def test_it_is_compressed_for_clients_that_accept_it(as_a, images):
    plain = body(as_a.get("/images/?limit=100"))
    answer = as_a.get("/images/?limit=100", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(body(answer))) == json.loads(plain)


def test_an_image_that_is_erased_meanwhile_is_shown_without_its_result(as_a, images):
    answer = as_a.get("/images/?limit=100")
    pieces = iter(answer.streaming_content)
    begun = next(pieces) + next(pieces)
    Instance.objects.all().delete()
    MachineImage.objects.filter(id=images[-1].id).delete()
    rows = json.loads(begun + b"".join(pieces))["data"]
    assert len(rows) == len(images)
    assert (rows[-1]["image_id"], rows[-1]["inspection_json"]) == (images[-1].id, None)


def test_the_internal_list_does_the_same(images):
    answer = ANYBODY.get(f"{B}/machineimages/?limit=100")
    assert answer.streaming
    page = json.loads(body(answer))
    expected = [ANYBODY.get(f"{B}/machineimages/{image.id}/").json() for image in images]
    assert page["data"] == expected
    assert page["meta"] == {"count": len(images)}
    small = ANYBODY.get(f"{B}/machineimages/?limit=2")
    assert not small.streaming
    assert small.json()["data"] == expected[:2]
