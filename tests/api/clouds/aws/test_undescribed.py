"""Which images AWS did not show: the same in SQL and in Python."""

import pytest

from api.clouds.aws.images import _is_undescribed
from api.clouds.aws.selectors import load_images
from api.models import MachineImage
from tests.factories import make_aws_image


@pytest.mark.parametrize("status", MachineImage.Status.values)
@pytest.mark.parametrize("owner", [None, "123456789013"])
@pytest.mark.parametrize("is_copy", [False, True])
def test_both_say_the_same(db, status, owner, is_copy):
    reference = make_aws_image() if is_copy else None
    image = make_aws_image(status=status, owner_aws_account_id=owner, reference_image=reference)
    [known] = load_images([image.cloud_image_id]).values()
    assert known.is_undescribed == _is_undescribed(image)
