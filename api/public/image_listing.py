"""The images that a customer's instances use, as that customer's tags have them (spec 01 §7.2).

What an inspection found of an image may be a megabyte. A page of many such images is read, and
sent, piece by piece (README decisions 38, 43).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from api.public.brackets import UNSORTED, Sorting
from api.public.facets import MOST_FREQUENT, Facets, facets_of
from api.public.filters import IS_RHEL
from api.public.listings import Listing, Page
from api.public.objects import ImageRow
from util.batches import PIECE, batched_by_size

# Account by account, and in steps, PostgreSQL reads the customer's own entries of the indexes of
# instances and tags; otherwise it might look for images in use among everybody's.
OWN = """
WITH own AS MATERIALIZED (
    SELECT id, user_id FROM api_cloudaccount WHERE user_id = %s
), own_tags AS MATERIALIZED (
    SELECT machine_image_id, bool_or(rhel) AS rhel, bool_or(openshift) AS openshift
    FROM own CROSS JOIN LATERAL (
        SELECT machine_image_id, rhel, openshift FROM api_imagetags
        WHERE cloud_account_id = own.id AND (rhel OR openshift)
    ) tags_in_account
    GROUP BY machine_image_id
)"""
_IN_USE = f"""{OWN}, used AS MATERIALIZED (
    SELECT DISTINCT machine_image_id
    FROM own CROSS JOIN LATERAL (
        SELECT DISTINCT machine_image_id FROM api_instance WHERE cloud_account_id = own.id
    ) used_in_account
), listed AS MATERIALIZED (
    SELECT image.id, {{sort_key}} AS sort_key FROM used
    JOIN api_machineimage image ON image.id = used.machine_image_id
    LEFT JOIN own_tags ON own_tags.machine_image_id = image.id
    WHERE true{{conditions}}
)
"""  # noqa: S608 - made of constants
_PAGE = f"""{_IN_USE}
SELECT {{columns}}, image.bytes, (SELECT count(*) FROM listed)
FROM (
    SELECT *, sum(COALESCE(octet_length(inspection_json), 0)) OVER (
        ORDER BY sort_key {{direction}}, id
    ) AS bytes
    FROM (SELECT * FROM listed ORDER BY sort_key {{direction}}, id LIMIT %s OFFSET %s) page
    JOIN api_machineimage USING (id)
) image
LEFT JOIN own_tags ON own_tags.machine_image_id = image.id
ORDER BY image.sort_key {{direction}}, image.id
"""  # noqa: S608
_COUNT = f"{_IN_USE} SELECT count(*) FROM listed"  # noqa: S608
_COUNT_VALUES = f"""{_IN_USE}, facet AS (
    SELECT facet.field, facet.value, count(*) AS number
    FROM listed
    JOIN api_machineimage image ON image.id = listed.id
    CROSS JOIN LATERAL (VALUES
        ('region', image.region::text), ('status', image.status::text),
        ('rhel_version', image.rhel_version)
    ) facet (field, value)
    GROUP BY 1, 2
){MOST_FREQUENT}"""  # noqa: S608
_ONE = f"""{OWN}
SELECT {{columns}}
FROM (SELECT *, 0 AS bytes FROM api_machineimage) image
LEFT JOIN own_tags ON own_tags.machine_image_id = image.id
WHERE EXISTS (
    SELECT FROM api_instance
    WHERE machine_image_id = image.id AND cloud_account_id IN (SELECT id FROM own)
){{conditions}} AND image.id = %s
"""  # noqa: S608
_TEXTS = "SELECT id, inspection_json, syspurpose FROM api_machineimage WHERE id = ANY(%s)"

_IS_AWS = "image.cloud_type = 'aws'"
_EXPRESSIONS = {
    "is_rhel": IS_RHEL,
    "rhel_detected_by_tag": (
        f"CASE WHEN {_IS_AWS} THEN COALESCE(own_tags.rhel, false)"
        " ELSE image.rhel_detected_by_tag END"
    ),
    "openshift_detected": (
        f"CASE WHEN {_IS_AWS} THEN COALESCE(own_tags.openshift, false)"
        " ELSE image.openshift_detected END"
    ),
} | {
    column: f"CASE WHEN image.bytes <= {PIECE} THEN image.{column} END"
    for column in ("inspection_json", "syspurpose")
}

_FACETS: Final = ("region", "status", "rhel_version")


@dataclass(frozen=True)
class ImageListing(Listing):
    """The images that a customer's instances use, by a field or by id."""

    sorting: Sorting = UNSORTED

    columns = tuple(_EXPRESSIONS.get(column, f"image.{column}") for column in ImageRow._fields)

    def page(self, start: int, stop: int) -> Page:
        """Read a page, of large rows only the first."""
        total, found = self._fetch_counted(_PAGE, _COUNT, start, stop, **self.sorting._asdict())
        rows = [(ImageRow._make(row[:-1]), int(row[-1])) for row in found]
        if not rows or rows[-1][1] <= PIECE:
            return Page(total, [row for row, _ in rows])
        return Page(total, self._with_texts(rows), is_large=True)

    def one(self, id: int) -> ImageRow | None:
        """Read an image."""
        return next(map(ImageRow._make, self._fetch_one(_ONE, id)), None)

    def facets(self) -> Facets:
        """Count the rows on all pages by the values of some fields."""
        wanted = (self.user_id, *self.filter.values)
        return facets_of(
            _FACETS, self._fetch(_COUNT_VALUES, *wanted, sort_key=self.sorting.sort_key)
        )

    def _with_texts(self, rows: list[tuple[ImageRow, int]]) -> Iterator[ImageRow]:
        """Yield rows with their large columns; each comes with the bytes of all up to it."""
        ends = [0, *(end for _, end in rows)]
        sized = [(row, end - begin) for (row, end), begin in zip(rows, ends, strict=False)]
        for some in batched_by_size(sized, size_of=itemgetter(1), limit=PIECE, most=len(sized)):
            yield from self._complete([row for row, _ in some])

    def _complete(self, rows: list[ImageRow]) -> Iterator[ImageRow]:
        """Yield rows with their large columns; without any if an image was erased meanwhile."""
        texts = {id: large for id, *large in self._fetch(_TEXTS, [row.id for row in rows])}
        for row in rows:
            inspection_json, syspurpose = texts.pop(row.id, (None, None))
            yield row._replace(inspection_json=inspection_json, syspurpose=syspurpose)
