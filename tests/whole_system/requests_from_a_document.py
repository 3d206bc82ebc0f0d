"""Requests as an OpenAPI document describes them, and requests that are almost so.

Most are what a careful client sends; the rest has one wrong member, header or parameter, or is noise.
`complaint` says where an answer is not what the document promises.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
from hypothesis import strategies as st

NUMBERS_NEAR = 4
ITEMS_MAX = 3
NEW_KEY = "new"
"""Stands for a key that was never used; whoever sends the request puts one there."""
AS_JSON = {"content-type": "application/json"}
AS_TEXT = {"content-type": "text/plain"}

noise = st.text(st.characters(), max_size=12)  # lone surrogates and NUL, too
header_noise = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=12
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | noise,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["mode", "lines", "slot_id"]) | noise, inner, max_size=2)
    ),
    max_leaves=5,
)
moments = st.sampled_from(
    ["1970-01-01T00:00:00Z", "2030-01-01T19:00:00Z", "2030-01-01T22:00:00.000001+02:00"]
)
ends = st.sampled_from(["2031-01-01T00:00:00-11:00", "2199-12-31T23:59:59Z"])
tags = st.sampled_from(["*", '"1"', '"2"', '"1", "2", "3"', 'W/"1"', '"99999999999999999"'])
printable = st.characters(exclude_categories=["Cc", "Cs"])


def mostly(usual: st.SearchStrategy[Any], *others: st.SearchStrategy[Any]) -> st.SearchStrategy:
    """Two of three are the usual, and failures shrink towards it."""
    choices = [usual] * 2 * len(others) + list(others)
    return st.integers(0, len(choices) - 1).flatmap(choices.__getitem__)


@dataclass
class Known:
    """What exists, so that requests get further than 404; by the name of the member."""

    ids: dict[str, list[str]] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)


class Document:
    """An OpenAPI document as a source of requests and a judge of answers."""

    def __init__(self, tree: dict[str, Any], known: Known) -> None:
        self._tree = tree
        self._known = known

    def requests(self, method: str, path: str) -> st.SearchStrategy[dict[str, Any]]:
        """Requests to one operation, as `httpx.Client.build_request` takes them."""
        operation = self._tree["paths"][path][method]
        places: dict[str, list[dict[str, Any]]] = {"path": [], "query": [], "header": []}
        for parameter in operation["parameters"]:
            places[parameter["in"]].append(parameter)
        body = operation.get("requestBody")
        right = {
            "url": self._paths(path, places["path"]),
            "params": self._queries(places["query"]),
            "headers": self._headers(places["header"]),
            "body": self._bodies(body),
        }
        wrong = {
            "url": _wrong_paths(path, places["path"]),
            "params": _wrong_queries(right["params"], places["query"]),
            "headers": _wrong_headers(right["headers"], places["header"]),
            "body": _wrong_bodies(right["body"]),
        }
        almost = [{**right, part: strategy} for part, strategy in wrong.items()]
        parts = mostly(st.fixed_dictionaries(right), *map(st.fixed_dictionaries, almost))
        return parts.map(
            lambda found: {
                "method": method.upper(),
                "url": found["url"],
                "params": found["params"],
                "headers": {**found["headers"], **found["body"][1]},
                "content": found["body"][0],
            }
        )

    def complaint(self, method: str, path: str, answer: httpx.Response) -> str:
        """What the document does not promise of an answer; empty when it promises all of it."""
        promised = self._tree["paths"][path][method]["responses"].get(str(answer.status_code))
        if promised is None:
            return f"{answer.status_code} is not documented"
        media = answer.headers.get("content-type", "").partition(";")[0]
        content = promised.get("content", {})
        if content and media not in content:
            return f"{media} is not documented"
        if media not in ("application/json", "application/problem+json"):
            return ""
        body = answer.json()
        if media == "application/problem+json":
            slug = body["type"].removeprefix("/problems/")
            if f"`{slug}`" not in promised["description"]:
                return f"{slug} is not documented"
        return self._differs(content[media]["schema"], body, "$")

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        name = schema.get("$ref", "").rpartition("/")[2]
        return self._tree["components"]["schemas"][name] if name else schema

    def _values(  # noqa: PLR0911  one for each kind of schema
        self, schema: dict[str, Any], name: str = ""
    ) -> st.SearchStrategy[Any]:
        """Values of a schema; ids are mostly those of something that exists."""
        schema = self._resolved(schema)
        if "anyOf" in schema:
            return st.one_of(*(self._values(each, name) for each in schema["anyOf"]))
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        match schema.get("type"):
            case "object":
                members = {each: self._values(s, each) for each, s in schema["properties"].items()}
                needed = {each: members.pop(each) for each in schema.get("required", ())}
                return st.fixed_dictionaries(needed, optional=members)
            case "array":
                least = schema.get("minItems", 0)
                return st.lists(
                    self._values(schema["items"], name), min_size=least, max_size=least + ITEMS_MAX
                )
            case "integer":
                least, most = schema.get("minimum", -5), schema.get("maximum", 2**62)
                near = st.integers(least, min(most, least + NUMBERS_NEAR))
                return mostly(near, st.integers(least, most))
            case "string":
                return self._texts(schema, name)
            case "null":
                return st.none()
            case _:
                return anything

    def _texts(self, schema: dict[str, Any], name: str) -> st.SearchStrategy[str]:
        if schema.get("format") == "uuid" or name in self._known.ids:
            there = self._known.ids.get(name)
            other = st.uuids().map(str)
            return mostly(st.sampled_from(there), other) if there else other
        if schema.get("format") == "date-time":
            return ends if name == "ends_at" else moments
        if name == "time_zone":
            return st.sampled_from(["Europe/Amsterdam", "UTC"])
        least = schema.get("minLength", 0)
        return st.text(printable, min_size=least, max_size=min(schema.get("maxLength", 20), 20))

    def _paths(self, path: str, parameters: list[dict[str, Any]]) -> st.SearchStrategy[str]:
        values = {each["name"]: self._values(each["schema"], each["name"]) for each in parameters}
        return st.fixed_dictionaries(values).map(lambda found: _filled(path, found))

    def _queries(self, parameters: list[dict[str, Any]]) -> st.SearchStrategy[dict[str, str]]:
        needed, optional = {}, {}
        for each in parameters:
            name = each["name"]
            right = self._values(each["schema"], name).filter(lambda v: v is not None)
            if name == "token":
                right = st.sampled_from(self._known.tokens)
            if name != "cursor":  # an answer gives it
                place = needed if each.get("required") else optional
                place[name] = right.map(_as_parameter)
        return st.fixed_dictionaries(needed, optional=optional)

    def _headers(self, parameters: list[dict[str, Any]]) -> st.SearchStrategy[dict[str, bytes]]:
        token = st.sampled_from(self._known.tokens)
        usual: Mapping[str, st.SearchStrategy[str]] = {
            "Idempotency-Key": mostly(
                st.just(NEW_KEY), st.from_regex(r"[A-Za-z0-9._~:-]{1,20}", fullmatch=True)
            ),
            "If-Match": mostly(st.just("*"), tags),
            "If-None-Match": tags,
            "Consistency-Token": token,
            "Based-On": token,
            "Last-Event-ID": token,
            "Prefer": st.sampled_from(["wait=0", "wait=1", "handling=lenient"]),
            "Cache-Control": st.sampled_from(
                ["no-cache", "max-age=0", "max-age=1", "max-age=60", "only-if-cached", "no-store"]
            ),
            "traceparent": st.just(f"00-{'ab' * 16}-{'cd' * 8}-01"),
        }
        needed, optional = {}, {}
        for each in parameters:
            place = needed if each.get("required") else optional
            place[each["name"]] = usual[each["name"]].map(str.encode)
        return st.fixed_dictionaries(needed, optional=optional)

    def _bodies(self, body: dict[str, Any] | None) -> st.SearchStrategy[tuple[bytes, Any]]:
        """The bytes, and the headers that go with them."""
        if body is None:
            return st.just((b"", {}))
        values = self._values(body["content"]["application/json"]["schema"])
        return values.map(lambda value: (json.dumps(value).encode(), AS_JSON))

    def _differs(  # noqa: PLR0911  one for each kind of difference
        self, schema: dict[str, Any], value: Any, where: str
    ) -> str:
        """Where a value is not what a schema says; the part of JSON Schema that is used here."""
        schema = self._resolved(schema)
        if "anyOf" in schema:
            found = [self._differs(each, value, where) for each in schema["anyOf"]]
            return "" if "" in found else found[0]
        if "enum" in schema and value not in schema["enum"]:
            return f"{where} is {value!r:.200}"
        kinds = {
            "object": dict,
            "array": list,
            "integer": int,
            "string": str,
            "boolean": bool,
            "null": type(None),
        }
        kind = kinds.get(schema.get("type", ""))
        if kind is not None and (
            not isinstance(value, kind) or (kind is int and isinstance(value, bool))
        ):
            return f"{where} is no {schema['type']}: {value!r:.200}"
        if "properties" in schema:
            if missing := set(schema.get("required", ())) - value.keys():
                return f"{where} lacks {missing}"
            more = value.keys() - schema["properties"].keys()
            # Answers of ours have no members that the document does not name; problems may.
            if more and schema.get("additionalProperties") is not True:
                return f"{where} has {more}, too"
            inside = (
                self._differs(each, value[name], f"{where}.{name}")
                for name, each in schema["properties"].items()
                if name in value
            )
            return next(filter(None, inside), "")
        if "items" in schema:
            inside = (
                self._differs(schema["items"], each, f"{where}[{n}]")
                for n, each in enumerate(value)
            )
            return next(filter(None, inside), "")
        return ""


def _filled(path: str, values: Mapping[str, str]) -> str:
    return path.format(**{name: quote(value, safe="") for name, value in values.items()})


def _as_parameter(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _wrong_paths(path: str, parameters: list[dict[str, Any]]) -> st.SearchStrategy[str]:
    segment = st.text(printable, min_size=1, max_size=9).filter(lambda text: text.strip("./"))
    segments = {each["name"]: segment.map(lambda s: s.replace("/", "-")) for each in parameters}
    return st.fixed_dictionaries(segments).map(lambda found: _filled(path, found))


def _wrong_queries(
    right: st.SearchStrategy[dict[str, str]], parameters: list[dict[str, Any]]
) -> st.SearchStrategy[Any]:
    names = [*(each["name"] for each in parameters), "unheard-of"]
    text = st.text(printable | st.just("\0"), max_size=12)
    wrong = st.tuples(right, st.sampled_from(names), text)
    twice = right.map(lambda found: [*found.items(), *found.items()])
    return wrong.map(lambda found: {**found[0], found[1]: found[2]}) | twice


def _wrong_headers(
    right: st.SearchStrategy[dict[str, bytes]], parameters: list[dict[str, Any]]
) -> st.SearchStrategy[dict[str, bytes]]:
    if not parameters:
        return right
    names = st.sampled_from([each["name"] for each in parameters])
    without = st.tuples(right, names).map(
        lambda found: {name: value for name, value in found[0].items() if name != found[1]}
    )
    wrong = st.tuples(right, names, header_noise | st.just('"1'))
    return wrong.map(lambda found: {**found[0], found[1]: found[2].encode("latin-1")}) | without


def _wrong_bodies(
    right: st.SearchStrategy[tuple[bytes, Any]],
) -> st.SearchStrategy[tuple[bytes, Any]]:
    nothing = st.just((b"", {}))
    raw = st.tuples(st.binary(max_size=30), st.sampled_from([AS_JSON, AS_TEXT, {}]))
    value = anything.map(lambda value: (json.dumps(value).encode(), AS_JSON))
    nearly = st.tuples(right, st.data()).map(
        lambda found: (
            json.dumps(_with_one_wrong(json.loads(found[0][0] or "{}"), found[1])).encode(),
            AS_JSON,
        )
    )
    return mostly(nearly, nothing | raw | value)


def _with_one_wrong(value: Any, data: st.DataObject) -> Any:
    """The value with one member replaced, added or taken away, somewhere."""
    if isinstance(value, dict) and value:
        name = data.draw(st.sampled_from(sorted(value)))
        match data.draw(st.sampled_from(["inside", "replace", "add", "take"])):
            case "inside":
                return {**value, name: _with_one_wrong(value[name], data)}
            case "replace":
                return {**value, name: data.draw(anything)}
            case "add":
                return {**value, data.draw(noise): data.draw(anything)}
            case _:
                return {each: inner for each, inner in value.items() if each != name}
    if isinstance(value, list) and value:
        return [_with_one_wrong(value[0], data), *value[1:]]
    return data.draw(anything)
