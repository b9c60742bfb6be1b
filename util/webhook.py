"""Telling an incoming webhook something (spec 08 §12.1)."""

import logging

import requests

logger = logging.getLogger(__name__)

TIMEOUT = 10
"""Seconds for a connection, and for an answer."""


def post_text(url: str, text: str) -> bool:
    """Post a JSON object with a text; tell whether it was taken. Never raises.

    The URL is a secret: whoever knows it can post.
    """
    try:
        response = requests.post(url, json={"text": text}, timeout=TIMEOUT)
        response.raise_for_status()
    except (requests.RequestException, ValueError) as error:
        # The error's text would tell the URL.
        logger.warning("The webhook did not take the message: %s", type(error).__name__)
        return False
    return True
