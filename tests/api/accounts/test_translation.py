"""Org ids for account numbers (spec 03 §10.3)."""

import http.server
import json
import threading

import pytest

from api.accounts.translation import migrate_account_numbers_to_org_ids
from api.models import User
from tests.factories import make_aws_account, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def translator(settings):
    """A translator that answers ``reply`` with ``status`` and remembers what it was sent."""

    class Translator(http.server.BaseHTTPRequestHandler):
        received = []
        reply = b"{}"
        status = 200

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.received.append((self.path, json.loads(body)))
            self.send_response(self.status)
            self.end_headers()
            self.wfile.write(self.reply)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Translator)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.TENANT_TRANSLATOR_BASE_URL = f"http://127.0.0.1:{server.server_port}"
    yield Translator
    server.shutdown()
    server.server_close()


def org_ids():
    return dict(User.objects.values_list("account_number", "org_id"))


def test_scenario_31(translator):
    for number in ("1701", "1702"):
        make_user(account_number=number)
    make_user(account_number="1703", org_id="5")
    make_user(org_id="6")
    translator.reply = json.dumps({"1701": "3340851", "1703": "7", "9": "9"}).encode()
    assert migrate_account_numbers_to_org_ids() == 1
    assert translator.received == [("/internal/orgIds", ["1701", "1702"])]
    assert org_ids() == {"1701": "3340851", "1702": None, "1703": "5", None: "6"}


def test_nobody_to_ask_about(translator):
    make_user()
    assert migrate_account_numbers_to_org_ids() == 0
    assert translator.received == []


@pytest.mark.parametrize(
    ("status", "reply"), [(500, b"{}"), (404, b"{}"), (200, b"no json"), (200, b"[]")]
)
def test_failures_change_nothing(translator, status, reply):
    make_user(account_number="1701")
    translator.status, translator.reply = status, reply
    assert migrate_account_numbers_to_org_ids() == 0
    assert org_ids() == {"1701": None}


def test_scenario_31_translator_down(settings):
    make_user(account_number="1701")
    settings.TENANT_TRANSLATOR_BASE_URL = "http://127.0.0.1:1"
    assert migrate_account_numbers_to_org_ids() == 0
    assert org_ids() == {"1701": None}


def test_empty_values_are_left_out(translator):
    for number in ("1", "2", "3"):
        make_user(account_number=number)
    translator.reply = b'{"1": null, "2": "", "3": 5}'
    assert migrate_account_numbers_to_org_ids() == 0


def test_taken_org_id_does_not_stop_the_rest(translator):
    for number in ("1", "2"):
        make_user(account_number=number)
    make_user(account_number="9", org_id="a")
    translator.reply = b'{"1": "a", "2": "b"}'
    assert migrate_account_numbers_to_org_ids() == 1
    assert org_ids() == {"1": None, "2": "b", "9": "a"}


def test_the_same_customer_known_twice_becomes_one(translator):
    make_user(account_number="1")
    make_user(org_id="a")
    translator.reply = b'{"1": "a"}'
    assert migrate_account_numbers_to_org_ids() == 1
    assert org_ids() == {"1": "a"}


def test_two_owners_stay_two(translator):
    make_aws_account(user=make_user(account_number="1"))
    make_aws_account(user=make_user(org_id="a"))
    make_user(account_number="2")
    translator.reply = b'{"1": "a", "2": "b"}'
    assert migrate_account_numbers_to_org_ids() == 1
    assert org_ids() == {"1": None, None: "a", "2": "b"}
