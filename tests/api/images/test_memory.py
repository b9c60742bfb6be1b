"""Memory stays bounded whatever inspections found (README decisions 38, 43; fault 22)."""

import json

import pytest
from django.db import connection

from api.images.changes import change_images
from api.images.tags import RHEL, ImageTagChange, store_tags
from api.inspection.results.parse import MAX_TEXT, parse_result
from api.inspection.results.save import save_results
from api.models import ImageTags, MachineImage
from tests import factories
from tests.api.internal.callers import ANYBODY, B
from tests.api.public.callers import caller
from tests.memory import growth
from util import clock

pytestmark = pytest.mark.django_db(transaction=True)

IMAGES = 100
BOUND = 95
"""MiB that a process may grow by; the results alone are a hundred, and were held several times."""

_GROW = """
UPDATE api_machineimage
SET inspection_json = '{"rhel_release_files_found": true, "syspurpose": {"role": "r' || id
    || '"}, "drives": "' || repeat('\\"x\\" ', %s / 6) || '"}'
"""


@pytest.fixture
def account(transactional_db, queued):
    """A customer with a hundred images of which inspections found a megabyte each."""
    user = factories.make_user(account_number="100001")
    account = factories.make_aws_account(user=user)
    for _ in range(IMAGES):
        factories.make_instance(account=account, image=factories.make_rhel_image())
    with connection.cursor() as cursor:
        cursor.execute(_GROW, [MAX_TEXT - 1000])
    return account


def read(answer):
    """Take an answer as a server does, piece by piece; returns its size."""
    assert answer.status_code == 200
    return sum(map(len, answer.streaming_content if answer.streaming else [answer.content]))


def test_a_page_of_the_public_api(account):
    as_a = caller(account_number="100001")
    # What is loaded with the first request is no growth.
    read(as_a.get("/images/?limit=1"))
    assert growth(lambda: read(as_a.get("/images/?limit=100"))) < BOUND
    page = as_a.get("/images/?limit=100")
    size = read(page)
    assert size > IMAGES * MAX_TEXT


def test_a_page_of_the_internal_api(account):
    assert growth(lambda: read(ANYBODY.get(f"{B}/machineimages/?limit=100"))) < BOUND


@pytest.mark.parametrize("name", ["awsmachineimages", "instances", "machineimageinspectionstarts"])
def test_lists_that_do_not_show_results_do_not_load_them(account, name):
    for image in MachineImage.objects.defer("inspection_json"):
        image.inspection_attempts.create(result="x" * MAX_TEXT)
    assert growth(lambda: read(ANYBODY.get(f"{B}/{name}/?limit=100"))) < BOUND / 3


def test_changes_of_tags(account):
    ids = list(MachineImage.objects.values_list("id", flat=True))
    changes = [
        ImageTagChange(account.id, image_id, RHEL, True, clock.now(), {}) for image_id in ids
    ]
    assert growth(lambda: store_tags(changes)) < BOUND / 3
    assert ImageTags.objects.filter(rhel=True).count() == IMAGES


def test_changes_of_other_facts(account):
    ids = list(MachineImage.objects.values_list("id", flat=True))

    def change():
        change_images(
            image_ids=ids,
            change=lambda image: setattr(image, "architecture", "arm64"),
            reason="describe",
        )

    assert growth(change) < BOUND / 3
    assert MachineImage.objects.filter(architecture="arm64", is_rhel=True).count() == IMAGES


ENTRY = b'{"rhel_release_files_found": true, "drives": '
HOSTILE = {
    "many small values": ENTRY + b"[" + b"[]," * 10_000_000 + b"[]]}",
    "long text": ENTRY + b'"' + b"x" * 30_000_000 + b'"}',
    "many keys": ENTRY + b"{" + b'"a":{},' * 4_000_000 + b'"a":{}}}',
    "large all over": json.dumps({f"k{number}": "x" * 900_000 for number in range(30)}).encode(),
}


@pytest.mark.parametrize("entry", HOSTILE.values(), ids=HOSTILE)
def test_results(transactional_db, queued, entry):
    image = factories.make_aws_image(cloud_image_id="ami-1")
    image.inspection_attempts.create()
    data = b'{"cloud": "aws", "images": {"ami-1": ' + entry + b"}}"
    assert len(data) < 32 * 1024 * 1024
    assert growth(lambda: save_results([parse_result(data)])) < BOUND
    image.refresh_from_db()
    assert (image.status, len(image.inspection_json) <= MAX_TEXT) == ("inspected", True)
