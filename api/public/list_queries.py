"""What a request asks of a list: plain parameters, brackets, and what to include (spec 11 §3)."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, cast

from rest_framework.exceptions import ValidationError

from api.public.brackets import BracketParameters, Brackets
from api.public.filters import Filter, Parameter, read_filter

INCLUDE: Final = "include"
STATE: Final = "state"
FACETS: Final = "facets"


class ListQuery(NamedTuple):
    """What a request asks for."""

    filter: Filter
    brackets: Brackets
    includes: frozenset[str]


def read_list(
    parameters: Sequence[Parameter], brackets: BracketParameters, query: Mapping[str, str]
) -> ListQuery:
    """Return what a request asks for. Raises ValidationError that names all that is wrong.

    Words in ``include`` that the route does not know are ignored, as other parameters are.
    """
    wanted, errors = brackets.collect(query)
    plain = Filter()
    try:
        plain = read_filter(parameters, query)
    except ValidationError as error:
        errors |= cast(dict[str, list[str]], error.detail)
    if errors:
        raise ValidationError(errors)
    includes = {word.strip() for word in query.get(INCLUDE, "").split(",")}
    return ListQuery(plain, wanted, frozenset(includes & {STATE, FACETS}))
