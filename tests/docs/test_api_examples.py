"""The REST examples: how they are written, and that they are current (spec 08 §18)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from docs.api_examples.rendering import code_block, request_text, response_text

ROOT = Path(__file__).resolve().parents[2]


def test_blocks():
    assert code_block("a\n\nb", "bash") == ".. code:: bash\n\n    a\n\n    b"
    assert code_block("a") == "::\n\n    a"


def test_requests():
    headers = {"X-RH-IDENTITY": "secret", "X-A": "secret", "Accept": "*/*"}
    assert request_text("GET", "/a/?x=1%2B2&y=a%20b&z=", headers=headers) == (
        'http localhost:8080/a/ \\\n    x=="1+2" \\\n    y=="a b" \\\n    z=="" \\\n'
        '    "X-A:${HTTP_X_A}" \\\n    "X-RH-IDENTITY:${HTTP_X_RH_IDENTITY}"'
    )
    assert request_text("POST", "/b/", headers={}, body={"a": "x", "b": 1, "c": True}) == (
        'http post localhost:8080/b/ \\\n    a="x" \\\n    b:=1 \\\n    c:=true'
    )
    assert request_text("DELETE", "/b/1/", headers={}) == "http delete localhost:8080/b/1/"


def test_answers():
    headers = {"Content-Type": "application/json", "Allow": "GET"}
    body = b'{"b":"http://testserver/","a":["\xc3\xa9"]}'
    assert response_text(200, headers, body) == (
        "HTTP/1.1 200 OK\nAllow: GET\nContent-Type: application/json\n\n"
        '{\n    "a": [\n        "é"\n    ],\n    "b": "http://localhost:8080/"\n}'
    )
    assert response_text(425, {}, b"") == "HTTP/1.1 425 Too Early"
    assert response_text(200, {"Content-Type": "text/plain"}, b"{}").endswith("\n\n{}")


@pytest.mark.slow
@pytest.mark.services
def test_the_document_is_current():
    # Without the variables of these tests' own services it starts a database for itself.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")
    }
    command = [sys.executable, "-m", "docs.api_examples", "--check"]
    outcome = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
