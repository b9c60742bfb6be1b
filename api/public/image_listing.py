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
from api.public.listings import ListedPage, Listing
from api.public.resources import IMAGES, MachineImage, system_purpose
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
), listed AS MATERIALIZED ({{listed}})
"""  # noqa: S608 - made of constants
_PASSING = """
    SELECT image.id, {sort_key} AS sort_key FROM used
    JOIN api_machineimage image ON image.id = used.machine_image_id
    LEFT JOIN own_tags ON own_tags.machine_image_id = image.id
    WHERE true{conditions}
"""
# The images themselves need not be looked at to see which there are.
_ALL = """
    SELECT machine_image_id AS id, {sort_key} AS sort_key FROM used
    WHERE machine_image_id IS NOT NULL
"""
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

_FACETS: Final = ("region", "status", "rhel_version")


@dataclass(frozen=True)
class ImageListing(Listing[MachineImage]):
    """The images that a customer's instances use, by a field or by id."""

    sorting: Sorting = UNSORTED

    shape = IMAGES

    def page(self, start: int, stop: int) -> ListedPage:
        """Read a page, of large rows only the first."""
        total, found = self._fetch_counted(_PAGE, _COUNT, start, stop, **self._parts())
        rows = [(self.shape.read(row[:-1]), int(row[-1])) for row in found]
        if not rows or rows[-1][1] <= PIECE:
            return ListedPage(total, [row for row, _ in rows])
        return ListedPage(total, self._with_texts(rows), is_large=True)

    def one(self, id: int) -> MachineImage | None:
        """Read an image."""
        return next(map(self.shape.read, self._fetch_one(_ONE, id)), None)

    def facets(self) -> Facets:
        """Count the rows on all pages by the values of some fields."""
        wanted = (self.user_id, *self.filter.values)
        return facets_of(_FACETS, self._fetch(_COUNT_VALUES, *wanted, **self._parts()))

    def _parts(self) -> dict[str, str]:
        """Return the parts of statements that depend on what is asked for."""
        is_plain = not self.filter.sql and self.sorting == UNSORTED
        listed = (_ALL if is_plain else _PASSING).format(
            sort_key=self.sorting.sort_key, conditions=self.filter.sql
        )
        return {**self.sorting._asdict(), "listed": listed}

    def _with_texts(self, rows: list[tuple[MachineImage, int]]) -> Iterator[MachineImage]:
        """Yield rows with their large columns; each comes with the bytes of all up to it."""
        ends = [0, *(end for _, end in rows)]
        sized = [(row, end - begin) for (row, end), begin in zip(rows, ends, strict=False)]
        for some in batched_by_size(sized, size_of=itemgetter(1), limit=PIECE, most=len(sized)):
            yield from self._complete([row for row, _ in some])

    def _complete(self, rows: list[MachineImage]) -> Iterator[MachineImage]:
        """Yield rows with their large columns; without any if an image was erased meanwhile."""
        texts = {id: large for id, *large in self._fetch(_TEXTS, [row.image_id for row in rows])}
        for row in rows:
            row.inspection_json, syspurpose = texts.pop(row.image_id, (None, None))
            row.syspurpose = system_purpose(syspurpose)
            yield row
