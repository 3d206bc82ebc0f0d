"""Queries over HTTP: what they answer, how old it is, and what they refuse to guess."""

from uuid import uuid4

from eventually import eventually


async def seen(api, path: str, position: int):
    """The answer once it is of that position."""

    async def there():
        answer = await api.get(path)
        return answer if answer.json().get("position") == position else None

    return await eventually(there, because=f"{path} is of position {position}")


async def test_an_answer_carries_its_age_position_and_token(log, stream, api):
    slot_id = await log.slot(capacity=3)
    await log.hold(slot_id, units=2)
    await stream.copy()

    answer = await seen(api, f"/v1/slots/{slot_id}", 2)

    slot = answer.json()
    assert (slot["remaining"], slot["held"], slot["version"]) == (1, 2, 2)
    assert slot["suspect"] is False
    assert slot["as_of"].endswith("Z")
    assert answer.headers["etag"] == '"2"'
    assert int(answer.headers["age"]) >= 0
    assert answer.headers["consistency-level"] == "eventual"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["vary"] == "Authorization, Consistency-Token, Prefer"
    assert "lag;dur=" in answer.headers["server-timing"]
    assert answer.headers["consistency-token"]
