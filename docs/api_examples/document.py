"""Makes the document: always the same bytes from the same code."""

import random
import uuid
from pathlib import Path
from unittest import mock

import jinja2
import time_machine
from django.db import connection, transaction

from api.public import views
from docs.api_examples import story, world
from util import clock, postgres

SEED = 20200518
FOLDER = Path(__file__).resolve().parent


def render() -> str:
    """Return the document, made on an empty database that stays empty.

    Time stands still and what is random comes from a seed.
    """
    connection.settings_dict["TEST"]["NAME"] = "api_examples"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    generator = random.Random(SEED)

    def seeded_uuid4() -> uuid.UUID:
        return uuid.UUID(int=generator.getrandbits(128), version=4)

    with (
        time_machine.travel(world.NOW, tick=False),
        mock.patch.object(postgres, "now", clock.now),
        mock.patch.object(uuid, "uuid4", seeded_uuid4),
        mock.patch.object(views, "own_account_id", return_value=world.OWN_AWS_ACCOUNT),
        transaction.atomic(),
    ):
        examples = story.tell()
        transaction.set_rollback(True)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - this is no HTML
        keep_trailing_newline=True,
    )
    return templates.get_template("template.rst").render(examples)
