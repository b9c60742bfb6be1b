"""Operators: they look at messages that were given up, and have them worked on again.

A message whose workers were lost three times is put aside (decision 43), as it may be what kills
them. Here everything is killed, so this comes to messages that are worked on for long.
"""

from contextlib import suppress

from deployment.local.process import LocalServiceError
from tests.soak.lives import Lives

_GIVEN_UP = "SELECT id FROM api_inboxmessage WHERE state = 'dead' AND reason LIKE %s ORDER BY id"
_REASON = "its workers were lost%"


class Operators(Lives):
    """They do it by the command that is made for that."""

    pause = 5.0

    def step(self) -> None:
        given_up = [str(row[0]) for row in self.deployment.query(_GIVEN_UP, _REASON)]
        if given_up:
            # Commands meet faults, too; then they are repeated.
            with suppress(LocalServiceError):
                self.deployment.product.manage("inbox", "--retry", *given_up)
                self.done["message given up and revived"] += len(given_up)
