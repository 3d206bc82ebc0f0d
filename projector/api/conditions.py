"""What a read asks for besides its subject: how fresh, how long to wait, whether at all.

Parses `Consistency-Token`, `Prefer`, `Cache-Control` and `If-None-Match`; conditions add up. What
cannot be understood is a 400, because a condition that is silently dropped would be a stale answer
that nobody was told about.
"""

import re
from typing import Literal

import msgspec
from litestar.types import Scope

from booking.edge.headers import entity_tags, header_list
from booking.edge.problems import Problem
from booking.events.tokens import InvalidToken, Token, TokenCodec

Level = Literal["eventual", "session", "bounded", "strong"]

WAIT_DEFAULT_S = 1
WAIT_MAX_S = 10

_HEADERS = frozenset({b"consistency-token", b"prefer", b"cache-control", b"if-none-match"})
_SECONDS = re.compile(r"\d+")
_SECONDS_MAX = 2**31
_TOKENS_MAX = 32


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What a read asked for; the default asks for nothing."""

    token: Token | None = None
    """The newest position the caller knows of."""
    max_age_ms: int | None = None
    strong: bool = False
    wait_s: int = 0
    """How long to wait for the conditions to be met."""
    lenient: bool = False
    """Answer all the same when they are not."""
    only_if_cached: bool = False
    none_match: tuple[str, ...] = ()
    """Entity tags the caller has, without `W/`; `*` is any."""
    applied: str | None = None
    """The preferences honoured, as `Preference-Applied` says them."""

    @property
    def level(self) -> Level:
        """The strongest level asked for."""
        if self.strong:
            return "strong"
        if self.max_age_ms is not None:
            return "bounded"
        return "eventual" if self.token is None else "session"


NOTHING_ASKED = Conditions()


def read_conditions(scope: Scope, tokens: TokenCodec) -> Conditions:
    """The conditions of a request.

    Raises:
        Problem: invalid-token or invalid-header.
    """
    if not any(name in _HEADERS for name, _ in scope["headers"]):
        return NOTHING_ASKED
    token = read_tokens(header_list(scope, b"consistency-token"), tokens)
    max_age_s, strong, only_if_cached = _cache_control(header_list(scope, b"cache-control"))
    wait_s, lenient = _preferences(header_list(scope, b"prefer"))
    asked = token is not None or max_age_s is not None or strong
    if only_if_cached:
        wait_s = None  # not waiting is what was asked for, so that preference is not honoured
    honoured = [] if wait_s is None else [f"wait={wait_s}"]
    if lenient:
        honoured.append("handling=lenient")
    if wait_s is None:
        wait_s = WAIT_DEFAULT_S if asked and not only_if_cached else 0
    return Conditions(
        token=token,
        max_age_ms=None if max_age_s is None else max_age_s * 1000,
        strong=strong,
        wait_s=wait_s,
        lenient=lenient,
        only_if_cached=only_if_cached,
        none_match=_none_match(scope),
        applied=", ".join(honoured) or None,
    )


def read_tokens(texts: list[str], tokens: TokenCodec) -> Token | None:
    """The newest of some tokens: of the newest epoch, the furthest position.

    Raises:
        Problem: invalid-token, when one is malformed or not signed by this system.
    """
    if len(texts) > _TOKENS_MAX:
        raise Problem("invalid-header", f"Consistency-Token: at most {_TOKENS_MAX} tokens.")
    try:
        return max((tokens.decode(text) for text in texts), default=None)
    except InvalidToken as error:
        raise Problem("invalid-token", f"The consistency token is {error}.") from error


def _cache_control(directives: list[str]) -> tuple[int | None, bool, bool]:
    """The least max-age of at least 1, whether a strong read is asked for, and only-if-cached."""
    max_age_s: int | None = None
    strong = only_if_cached = False
    for directive in directives:
        name, _, value = directive.partition("=")
        match name.strip().lower():
            case "no-cache":
                strong = True
            case "only-if-cached":
                only_if_cached = True
            case "max-age":
                seconds = _seconds("Cache-Control: max-age", value)
                if seconds == 0:
                    strong = True
                else:
                    max_age_s = seconds if max_age_s is None else min(max_age_s, seconds)
            case _:
                pass  # about storing, transforming or serving stale: not ours to follow
    return max_age_s, strong, only_if_cached


def _preferences(preferences: list[str]) -> tuple[int | None, bool]:
    """How long to wait (None: not said), and whether leniently."""
    wait_s: int | None = None
    lenient = False
    for preference in preferences:
        name, _, value = preference.partition(";")[0].partition("=")
        match name.strip().lower(), value.strip().strip('"').lower():
            case "wait", seconds if wait_s is None:  # of a repeated preference the first counts
                wait_s = min(_seconds("Prefer: wait", seconds), WAIT_MAX_S)
            case "handling", "lenient":
                lenient = True
            case _:
                pass  # a preference we do not know may be ignored, says its RFC
    return wait_s, lenient


def _seconds(what: str, value: str) -> int:
    text = value.strip().strip('"')
    if not _SECONDS.fullmatch(text):
        raise Problem("invalid-header", f"{what} takes whole seconds, not {value!r}.")
    digits = text.lstrip("0") or "0"
    # More than can be counted is for ever, not malformed (RFC 9111, section 1.2.2).
    return int(digits) if len(digits) < 10 else _SECONDS_MAX


def _none_match(scope: Scope) -> tuple[str, ...]:
    if not any(name == b"if-none-match" for name, _ in scope["headers"]):
        return ()
    tags = entity_tags(scope, b"if-none-match")
    return ("*",) if tags is None else tuple(tag.removeprefix("W/") for tag in tags)
