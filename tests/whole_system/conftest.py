"""Tests made of the API's document get ids of their own: schemathesis writes the operation into their names only.

A run that is shared out by file would take all tests of one id for one, so there must be no such id.
"""

from collections import Counter

import pytest
from schemathesis.pytest.plugin import SchemathesisFunction


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the operation that each asks for into its id.

    Raises:
        UsageError: there are several tests of one id.
    """
    for item in items:
        if isinstance(item, SchemathesisFunction):
            item._id = item.id.with_params(item.operation_label)
    several = [
        nodeid for nodeid, number in Counter(item.nodeid for item in items).items() if number > 1
    ]
    if several:
        raise pytest.UsageError(f"Several tests have the id {several[0]}: only one would be run.")
