"""Keeping secrets out of texts that people read (fault 13)."""

import base64
import json

import pytest

from util import redaction
from util.redaction import MASK, redact, redact_all


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setattr(redaction, "_pattern", redaction._pattern)


def test_known_secrets_are_masked_wherever_they_turn_up():
    redaction.remember(["hunter2-hunter2", "hunter2-hunter2-and-more", None, "", "short"])
    redaction.remember(["a.b+c(d)e"])
    text = "x hunter2-hunter2-and-more y=hunter2-hunter2&z 'a.b+c(d)e' short"
    assert redact(text) == f"x {MASK} y={MASK}&z '{MASK}' short"


def test_identities_and_bearer_tokens_are_masked():
    identity = base64.b64encode(json.dumps({"identity": {"org_id": "7331"}}).encode()).decode()
    token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL20ifQ.c2lnbmF0dXJl-_x"
    assert redact(f"[('x-rh-identity', b'{identity}')]") == f"[('x-rh-identity', b'{MASK}')]"
    assert redact(f"Authorization: Bearer {token}, next") == f"Authorization: Bearer {MASK}, next"
    assert redact("eyJ and keys are words") == "eyJ and keys are words"


def test_structures_are_masked_all_through():
    redaction.remember(["hunter2-hunter2"])
    value = {"a": ["hunter2-hunter2", 3, None], "hunter2-hunter2": {"b": ("hunter2-hunter2",)}}
    assert redact_all(value) == {"a": [MASK, 3, None], MASK: {"b": [MASK]}}
