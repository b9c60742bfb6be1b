"""What can go wrong with a disk, and the place where it is written down."""

MAX_ERRORS = 100
MAX_ERROR = 300
"""How many errors of one partition are kept, and how many characters of each."""


class InspectorError(Exception):
    """Something about the disk; the message says what."""


class UnreadableError(InspectorError):
    """Bytes that cannot be read, or are not what they must be."""


class LimitError(InspectorError):
    """More of something than one inspection may take."""


class Notes:
    """Errors that did not end the inspection, with the paths that they belong to."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._omitted = 0

    def add(self, path: str, error: object) -> None:
        """Remember that something about a path of the image went wrong."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(brief(f"{path}: {describe(error)}"))
        else:
            self._omitted += 1

    def texts(self) -> list[str]:
        """Return all errors, with a last line about those that were too many."""
        more = [f"{self._omitted} more errors"] if self._omitted else []
        return [*self.errors, *more]


def describe(error: object) -> str:
    """Return an error as text: the message of ours, type and message of all others."""
    if isinstance(error, InspectorError | str):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def brief(text: str, limit: int = MAX_ERROR) -> str:
    """Return a text that is printable, can be encoded, and is short enough to be stored."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in text[: limit * 2])
    return printable[:limit]
