"""The readable side of the documents: plain HTML, made here, with nothing fetched from anywhere."""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from booking.edge.openapi_problems import Document
from booking.edge.problems import ProblemType

CONTENT_SECURITY = b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430}
code,pre{font:14px/1.4 ui-monospace,monospace;background:#f2f4f7;border-radius:4px;padding:.1em .3em}
h2{margin-top:2.5rem;border-top:1px solid #d8dee8;padding-top:1rem} h2 b{color:#0b5cad}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #e6eaf0}
ul{margin:.25rem 0} a{color:#0b5cad} nav{columns:2}
@media(prefers-color-scheme:dark){body{background:#12161c;color:#dbe2ec}code,pre{background:#1e2530}
a,h2 b{color:#7db7ff}}
"""


def page_of(document: Document) -> str:
    """The OpenAPI document as one page."""
    info = document["info"]
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    contents = "".join(
        f'<li><a href="#{escape(operation["operationId"])}">{method} {escape(path)}</a></li>'
        for method, path, operation in operations
    )
    schemas = document["components"]["schemas"]
    return _html(
        f"{info['title']} {info['version']}",
        f"<p>{_text(info['summary'])}</p><p>{_text(info['description'])} "
        '<a href="/schema/openapi.json">OpenAPI document</a> · <a href="/problems">Problems</a></p>'
        f"<nav><ul>{contents}</ul></nav>"
        + "".join(_operation(*operation) for operation in operations)
        + "<h2>Schemas</h2>"
        + "".join(
            f'<h3 id="schema-{escape(name)}">{escape(name)}</h3>{_schema(schema)}'
            for name, schema in schemas.items()
        ),
    )


def problem_page(kind: ProblemType) -> str:
    """What a problem type means, and what to do."""
    return _html(
        kind.title,
        f"<p><code>{escape(kind.slug)}</code>, status {kind.status}</p><h2>Meaning</h2>"
        f"<p>{_text(kind.meaning)}</p><h2>What to do</h2><p>{_text(kind.remedy)}</p>"
        '<p><a href="/problems">All problems</a></p>',
    )


def problems_page(kinds: Iterable[ProblemType]) -> str:
    """All problem types."""
    rows = "".join(
        f'<tr><td>{kind.status}</td><td><a href="/problems/{escape(kind.slug)}">{escape(kind.slug)}</a>'
        f"</td><td>{_text(kind.title)}</td></tr>"
        for kind in sorted(kinds, key=lambda kind: (kind.status, kind.slug))
    )
    return _html("Problems", f"<table>{rows}</table>")


def _html(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>{body}</html>"
    )


def _text(text: str) -> str:
    """Escaped text, in which `…` stands for code."""
    pieces = escape(text).split("`")
    return "".join(
        f"<code>{piece}</code>" if index % 2 else piece.replace("\n", "<br>")
        for index, piece in enumerate(pieces)
    )


def _operation(method: str, path: str, operation: Document) -> str:
    return (
        f'<h2 id="{escape(operation["operationId"])}"><b>{method}</b> {escape(path)}</h2>'
        f"<p>{_text(operation['summary'])}</p><p>{_text(operation['description'])}</p>"
        + _rows("Parameters", map(_parameter, operation["parameters"]))
        + _content("Body", operation.get("requestBody", {}))
        + _rows("Answers", map(_response, operation["responses"].items()))
    )


def _rows(title: str, rows: Iterable[str]) -> str:
    joined = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<h3>{title}</h3><table>{joined}</table>" if joined else ""


def _parameter(parameter: Document) -> str:
    need = "required" if parameter.get("required") else "optional"
    return (
        f"<td><code>{escape(parameter['name'])}</code></td><td>{parameter['in']}, {need}</td>"
        f"<td>{_text(parameter.get('description', ''))} {_schema(parameter['schema'])}</td>"
    )


def _response(item: tuple[str, Document]) -> str:
    status, response = item
    headers = ", ".join(f"<code>{escape(name)}</code>" for name in response.get("headers", {}))
    return (
        f"<td>{status}</td><td>{_text(response['description'])}"
        f"{f'<br>Headers: {headers}' if headers else ''}</td><td>{_content('', response)}</td>"
    )


def _content(title: str, holder: Document) -> str:
    heading = f"<h3>{title}</h3>" if title else ""
    return "".join(
        f"{heading}<code>{escape(media)}</code> {_schema(content.get('schema', {}))}"
        for media, content in holder.get("content", {}).items()
    )


def _schema(schema: Document) -> str:
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "properties" in schema:
        required = schema.get("required", [])
        members = "".join(
            f"<li><code>{escape(name)}</code>{'' if name in required else ' (optional)'}: {_schema(inner)}</li>"
            for name, inner in schema["properties"].items()
        )
        return f"{_text(schema.get('description', ''))}<ul>{members}</ul>"
    return ", ".join(_words(schema))


def _words(schema: Document) -> Iterator[str]:
    if "anyOf" in schema:
        yield " or ".join(_schema(inner) for inner in schema["anyOf"])
    if "items" in schema:
        yield f"array of {_schema(schema['items'])}"
    elif "type" in schema:
        yield escape(str(schema["type"]))
    for limit, value in schema.items():
        if limit not in ("anyOf", "type", "items", "title", "description", "$ref"):
            yield f"{escape(limit)} <code>{escape(_literal(value))}</code>"


def _literal(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
