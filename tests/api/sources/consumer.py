"""Messages and a consumer that hands them to the listener."""

import time

from confluent_kafka import KafkaError

from api.models import InboxMessage
from api.sources.listener import Listener
from api.sources.messages import PAUSE


class Message:
    def __init__(self, offset, event_type=PAUSE, value=b'{"id": 11}', headers=None, partition=0):
        self._place = ("events", partition, offset)
        self._value = value
        self._headers = headers if headers is not None else self.usual_headers(event_type)

    @staticmethod
    def usual_headers(event_type):
        return [("event_type", event_type.encode()), ("x-rh-sources-org-id", b"3340851")]

    def topic(self):
        return self._place[0]

    def partition(self):
        return self._place[1]

    def offset(self):
        return self._place[2]

    def value(self):
        return self._value

    def headers(self):
        return self._headers

    def error(self):
        return None

    def timestamp(self):
        return (1, 1_700_000_000_000)


class NoHeaders(Message):
    def headers(self):
        return None


class ErrorMessage(Message):
    def __init__(self):
        super().__init__(0)

    def error(self):
        return KafkaError(KafkaError._ALL_BROKERS_DOWN)


class Consumer:
    """Hands out batches, then stops the listener; an exception in place of one is raised.

    While it is paused only a batch that is a tuple comes, as of a partition just assigned.
    """

    def __init__(self, *batches):
        self.batches = list(batches)
        self.rest = []
        self.stored = {}
        self.stored_counts = []
        self.paused = False
        self.listener = None

    def poll(self, timeout):
        if self.paused and not (self.batches and isinstance(self.batches[0], tuple)):
            time.sleep(timeout)
            return None
        if not self.batches:
            self.listener.stop()
            return None
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        if not batch:
            return None
        first, *self.rest = batch
        return first

    def consume(self, count, timeout):
        rest, self.rest = self.rest, []
        return rest

    def store_offsets(self, *, offsets):
        for offset in offsets:
            self.stored[offset.partition] = offset.offset
        self.stored_counts.append(InboxMessage.objects.count())

    def assignment(self):
        return []

    def pause(self, partitions):
        self.paused = True

    def resume(self, partitions):
        self.paused = False

    def get_watermark_offsets(self, partition, cached):
        return (0, 100)


def listen(*batches, **options):
    consumer = Consumer(*batches)
    consumer.listener = Listener(consumer, **options)
    consumer.listener.run()
    return consumer


def stored_types():
    return list(InboxMessage.objects.order_by("id").values_list("event_type", flat=True))
