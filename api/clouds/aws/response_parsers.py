"""Read EC2's answers so that one odd value costs only itself, and another's answer is none.

The SDK gives a whole page up for a number or a date in it that it cannot read, and takes any other
document, such as a proxy's, for an answer that lists nothing.
"""

from typing import Any
from xml.etree.ElementTree import Element

from botocore.parsers import (
    EC2QueryParser,
    ResponseParser,
    ResponseParserError,
    ResponseParserFactory,
)


class TolerantEC2Parser(EC2QueryParser):
    """Leaves out, as None, what does not have the form that EC2 promises."""

    def _parse_shape(self, shape: Any, node: Any) -> Any:
        try:
            return super()._parse_shape(shape, node)
        except (ValueError, TypeError, AttributeError, LookupError):
            return None

    def _parse_xml_string_to_dom(self, xml_string: bytes) -> Element:
        root: Element = super()._parse_xml_string_to_dom(xml_string)
        name = self._node_tag(root)
        if not name.endswith("Response"):
            raise ResponseParserError(f"a document {name!r} is no answer of EC2")
        return root


class TolerantParsers(ResponseParserFactory):
    """Makes the parsers of a session: the SDK's own, but for EC2."""

    def create_parser(self, protocol_name: str) -> ResponseParser:
        """Return a parser for the answers of a service that speaks this protocol."""
        if protocol_name == "ec2":
            return TolerantEC2Parser(**self._defaults)
        return super().create_parser(protocol_name)
