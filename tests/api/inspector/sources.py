"""Sources of an inspection's bytes."""

from api.inspector.limits import MIB


class Bytes:
    """Bytes as a source."""

    block_size = MIB

    def __init__(self, data):
        self.data = data
        self.size = len(data)

    def read(self, offset, size):
        return self.data[offset : offset + size]
