"""Reading request headers: one value, a list, entity tags. What cannot be understood is a 400 problem."""

from collections.abc import Iterator

from litestar.types import Scope

from booking.edge.problems import Problem


def header(scope: Scope, name: bytes) -> str | None:
    """The one value of a header; None where it was not sent.

    Args:
        scope: the request's.
        name: in lower case.

    Raises:
        Problem: invalid-header, when it was sent twice.
    """
    values = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise Problem("invalid-header", f"The header {name.decode()} was sent more than once.")
    return values[0].decode("latin-1").strip() if values else None


def header_list(scope: Scope, name: bytes) -> list[str]:
    """The elements of a header that is a list, from all its lines; commas inside quotes do not separate."""
    elements: list[str] = []
    for key, value in scope["headers"]:
        if key == name:
            elements += _split_outside_quotes(value.decode("latin-1"))
    return [element for element in elements if element]


def entity_tags(scope: Scope, name: bytes) -> list[str] | None:
    """The entity tags of `If-Match` or `If-None-Match`, as sent (`"7"`, `W/"7"`); None for `*` or no header.

    Raises:
        Problem: invalid-header, when an element is no entity tag or `*` stands beside others.
    """
    elements = header_list(scope, name)
    if elements in ([], ["*"]):
        if not elements and any(key == name for key, _ in scope["headers"]):
            raise Problem("invalid-header", f"The header {name.decode()} is empty.")
        return None
    for element in elements:
        opaque = element.removeprefix("W/")
        if len(opaque) < 2 or opaque[0] != '"' or opaque[-1] != '"' or '"' in opaque[1:-1]:
            raise Problem(
                "invalid-header", f'{name.decode()}: {element!r} is no entity tag such as "7".'
            )
    return elements


def _split_outside_quotes(text: str) -> Iterator[str]:
    start, quoted = 0, False
    for index, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            yield text[start:index].strip()
            start = index + 1
    yield text[start:].strip()
