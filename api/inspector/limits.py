"""How much one inspection may take (spec 13 §2)."""

import dataclasses

KIB = 1024
MIB = 1024 * KIB

MAX_FILE = MIB
MAX_CONFIGURATION = 256 * KIB
MAX_SYSPURPOSE = KIB
MAX_DATABASE = 512 * MIB
"""Bytes of a file, of a .repo or .conf file, of syspurpose.json, of an rpm database."""

MAX_ENTRIES = 10_000
"""Entries of a directory that are looked at."""

MAX_DIRECTORY = 8 * MIB
"""Bytes of a directory that is listed at all, and in which names are looked up."""

MAX_LINKS = 40
MAX_STEPS = 2000
"""Symbolic links, and parts of paths, on the way to one file."""

MAX_VOLUMES = 128
"""Partitions and logical volumes of a drive."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one inspection may take at most: seconds, bytes read, bytes of memory."""

    seconds: float = 600.0
    read_bytes: int = 1024 * MIB
    memory_bytes: int = 256 * MIB
