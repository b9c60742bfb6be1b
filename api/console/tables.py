"""Tables of the console: shown as HTML, and as CSV (spec 12 §1 "every table has CSV")."""

import csv
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.http import HttpResponse
from django.utils.safestring import SafeString

from api.export.columns import FORMULA_STARTS

NOT_KNOWN = "not known"

ROW_HEAD = ('th scope="row"', "th")
TABLE_DATA = ("td", "td")
"""How the elements of cells begin, and how they end."""


def shown(value: Any) -> str:
    """Return a value as people read it; times are UTC."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def cell_of_csv(value: Any) -> str:
    """Return a value for a spreadsheet, which never takes it for a formula; times are ISO 8601."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    text = shown(value)
    is_number = isinstance(value, int | float)
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not is_number else text


@dataclass(frozen=True)
class Cell:
    """One value; ``url`` is where it leads, ``mark`` the class that colours it.

    Whatever a mark says is said by the text, too.
    """

    value: Any
    url: str = ""
    mark: str = ""

    is_button = False

    @property
    def text(self) -> str:
        """Return the value as people read it."""
        return shown(self.value)

    @property
    def as_data(self) -> SafeString:
        """Return the cell in HTML. Pages have thousands, for which templates take long."""
        return self._in(TABLE_DATA)

    @property
    def as_head(self) -> SafeString:
        """Return the cell in HTML, as what its row is about."""
        return self._in(ROW_HEAD)

    def _in(self, tag: tuple[str, str]) -> SafeString:
        start, end = tag
        text = html.escape(self.text)
        if self.url and text:
            text = f'<a href="{html.escape(self.url)}">{text}</a>'
        mark = f' class="{html.escape(self.mark)}"' if self.mark else ""
        return SafeString(f"<{start}{mark}>{text}</{end}>")


@dataclass(frozen=True)
class ActionButton:
    """A button in a table that posts to ``url``."""

    label: str
    url: str
    about: str

    is_button = True


@dataclass(frozen=True)
class Table:
    """Rows below named columns. ``name`` is its id on the page and in the URL of its CSV.

    ``plot`` draws it: the first column is the time, and those of ``series`` are lines, the ones of
    ``band`` the lower and the upper edge of a band. ``more`` tells what is not listed.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    empty: str = "Nothing."
    more: str = ""
    plot: str = ""
    series: Sequence[str] = ()
    band: Sequence[str] = ()
    marks: str = ""

    @property
    def cells(self) -> Iterable[Sequence[Any]]:
        """Return the rows, with every value in a cell."""
        for row in self.rows:
            yield [one if isinstance(one, Cell | ActionButton) else Cell(one) for one in row]

    @property
    def series_text(self) -> str:
        """Return the drawn columns, as the script reads them."""
        return "|".join(self.series)

    @property
    def band_text(self) -> str:
        """Return the columns of the band's edges, as the script reads them."""
        return "|".join(self.band)

    def csv(self) -> HttpResponse:
        """Return the table as CSV in UTF-8 (RFC 4180)."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow([cell_of_csv(column) for column in self.columns])
        for row in self.cells:
            writer.writerow([cell_of_csv(getattr(cell, "value", "")) for cell in row])
        response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{self.name}.csv"'
        return response
