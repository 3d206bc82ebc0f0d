"""The rule of deploy/gateway.conf, judged as nginx judges a `map`: the first pattern that fits."""

import re

from compose import REPOSITORY

CONFIGURATION = (REPOSITORY / "deploy/gateway.conf").read_text()

_RULE = re.compile(r'map "\$request_method \$uri" \$side \{(.+?)\}', re.DOTALL)
_PATTERN = re.compile(r'"~(?P<pattern>.+)" (?P<side>\w+);')


def side_of(method: str, path: str) -> str:
    """Return `commands` or `queries`: the upstream that this request goes to."""
    rule = _RULE.search(CONFIGURATION)[1]
    for found in _PATTERN.finditer(rule):
        if re.search(found["pattern"], f"{method} {path}"):
            return found["side"]
    return re.search(r"default (\w+);", rule)[1]
