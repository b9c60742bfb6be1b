"""Compressed responses (spec decision 45)."""

import gzip
import json
from random import Random

import pytest
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import RequestFactory

from util.compression import CompressionMiddleware, accepts_gzip

LONG = {"text": "x" * 2000}


def answer(response, accept="gzip, deflate"):
    headers = {} if accept is None else {"accept-encoding": accept}
    return CompressionMiddleware(lambda _: response)(RequestFactory().get("/", headers=headers))


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5", True),
        ("br;q=1.0, *;q=0.1", True),
        ("x-gzip", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("gzip;q=0.3, identity;q=0.9", False),
        ("gzip;q=much", False),
        ("br, deflate", False),
        ("gzipped", False),
    ],
)
def test_what_clients_accept(header, accepted):
    assert accepts_gzip(header) is accepted


def test_a_long_response_is_compressed_and_says_so():
    response = answer(JsonResponse(LONG, headers={"Vary": "Accept"}))
    assert response["Content-Encoding"] == "gzip"
    assert response["Vary"] == "Accept, Accept-Encoding"
    assert int(response["Content-Length"]) == len(response.content) < 200
    assert json.loads(gzip.decompress(response.content)) == LONG


@pytest.mark.parametrize(
    ("response", "accept"),
    [
        (JsonResponse({"short": "x" * 900}), "gzip"),
        (JsonResponse(LONG), None),
        (JsonResponse(LONG), "identity"),
        (HttpResponse(b"\x89PNG" * 1000, content_type="image/png"), "gzip"),
        (HttpResponse("x" * 2000, status=206), "gzip"),
        (HttpResponse("x" * 2000, headers={"Content-Encoding": "br"}), "gzip"),
    ],
)
def test_other_responses_stay_as_they_are(response, accept):
    before, encoding = response.content, response.get("Content-Encoding")
    response = answer(response, accept)
    assert response.content == before
    assert response.get("Content-Encoding") == encoding
    assert "Vary" not in response


def test_a_stream_is_compressed_piece_by_piece():
    taken = []
    sent = [Random(number).randbytes(4000) for number in range(500)]

    def pieces():
        for piece in sent:
            taken.append(piece)
            yield piece

    response = answer(StreamingHttpResponse(pieces(), content_type="application/json"))
    stream = iter(response.streaming_content)
    first = next(stream)
    assert len(taken) < len(sent), "the stream is not gathered first"
    whole = gzip.decompress(first + b"".join(stream))
    assert whole == b"".join(sent)
    assert response["Vary"] == "Accept-Encoding"
    assert "Content-Length" not in response


def test_files_are_left_to_whoever_serves_them(tmp_path):
    path = tmp_path / "script.txt"
    path.write_bytes(b"x" * 5000)
    response = answer(FileResponse(path.open("rb"), content_type="text/plain"))
    assert b"".join(response.streaming_content) == b"x" * 5000
    assert "Content-Encoding" not in response
