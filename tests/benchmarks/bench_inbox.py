"""Stored messages of the sources service, worked on by one process (decision 27)."""

from api.accounts import events
from api.models import InboxMessage
from api.sources.messages import PAUSE
from api.sources.work import work_for_customer_of
from tests.api.sources.stored import received, store
from tests.benchmarks.suite import Operation, Suite

CUSTOMERS = 20
MESSAGES = 100


class Inbox(Suite):
    """Messages about applications that we do not know: what each message costs beside its work."""

    title = f"inbox: {CUSTOMERS} customers, {MESSAGES} messages of each"

    def load(self) -> None:
        """Store nothing yet: each round has messages of its own."""

    def operations(self) -> list[Operation]:
        """Return the work on all messages, as one task for each customer does it."""
        return [
            Operation("work on all messages", self.work, prepare=self.fill, check=self.check),
        ]

    def fill(self) -> None:
        """Store the messages."""
        InboxMessage.objects.all().delete()
        self.first = []
        for number in range(CUSTOMERS):
            ids = store(
                *[
                    received(f"org {number}", PAUSE, {"id": 1_000_000 + number})
                    for _ in range(MESSAGES)
                ]
            )
            self.first.append(ids[0])

    def work(self) -> None:
        """Do what the first task of each customer does."""
        for inbox_id in self.first:
            work_for_customer_of(inbox_id, handle=events.handle_message, give_up=events.give_up)

    def check(self, _: None) -> None:
        """See that all are done."""
        done = InboxMessage.objects.filter(state=InboxMessage.State.PROCESSED)
        assert done.count() == CUSTOMERS * MESSAGES
