"""Runs the examples of a page in order and compares what they print with what the page says.

    ```sh                        runs in the one shell of the page; variables stay
    ```sh in another terminal    runs beside it until the end of the page
    ```python                    runs as a program
    ```json ```http ```text      is what the block before it printed; `…` stands for anything
    ```console ```yaml ```...    is for reading

`position` and `head` count what everybody did: on one page they may all be the same number of events later
than the page says, no more. What the page shows as "?" is any number.
Headers of ```http are those that matter.
"""

from plain_http import plain_http
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from eventually import eventually

EXAMPLE_DEADLINE_S = 20
CURL = shutil.which("curl")
END = "end-of-example"
EXECUTED = ("sh", "sh in another terminal", "python")
EXPECTED = ("json", "http", "text")

_POSITION = re.compile(r'"(?:position|head)": ?(\d+|"\?")')
_BLOCK = re.compile(r"^```(?P<kind>[^\n]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """One block that runs, and the block that says what it prints, if any."""

    line: int
    kind: str
    text: str
    prints: str = ""
    printed_kind: str = ""


def examples(page: Path) -> list[Example]:
    """All examples of a page, in order."""
    text = page.read_text()
    found: list[Example] = []
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        if block["kind"] in EXECUTED:
            found.append(Example(line, block["kind"], block["text"]))
        elif block["kind"] in EXPECTED:
            assert found, f"{page.name}:{line}: nothing was run before this"
            assert not found[-1].printed_kind, f"{page.name}:{line}: nothing was run before this"
            last = found.pop()
            found.append(Example(last.line, last.kind, last.text, block["text"], block["kind"]))
    return found


def curl_knows_json() -> bool:
    """Return whether there is a curl, and one that knows what the pages use."""
    question = [CURL or "", "--json", "{}", "--version"]
    return bool(CURL) and subprocess.run(question, capture_output=True, check=False).returncode == 0


class Terminal:
    """The shell of one page, in a directory where `booking up` keeps its data."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self._beside: list[tuple[Example, asyncio.subprocess.Process, Path]] = []
        self._later: set[int] = set()

    async def __aenter__(self):
        if not curl_knows_json():
            pytest.skip("needs curl 7.82 or newer")
        self._environ = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "NO_COLOR": "1",
        }
        self._shell = await self._start("bash", stdin=asyncio.subprocess.PIPE)
        return self

    async def __aexit__(self, *failure):
        for process in (self._shell, *(process for _, process, _ in self._beside)):
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def run(self, example: Example) -> None:
        """Run one example and compare what it printed."""
        text = example.text.replace("http://127.0.0.1:8000", self._url)
        match example.kind:
            case "sh":
                printed = await self._in_shell(text)
                compare(example, printed)
                self._later |= later(example, printed)
                assert len(self._later) <= 1, f"the example of line {example.line}: its positions"
            case "python":
                process = await self._start(sys.executable, "-W", "error", "-c", text)
                async with asyncio.timeout(EXAMPLE_DEADLINE_S):
                    printed, _ = await process.communicate()
                assert process.returncode == 0, f"line {example.line} failed"
                compare(example, printed.decode())
            case _:
                await self._let_the_view_catch_up()
                await self._beside_it(example, text)
        await self._let_the_view_catch_up()

    async def finish(self) -> None:
        """Wait until what runs beside has printed what the page says."""
        for example, _, output in self._beside:
            await eventually(
                lambda example=example, output=output: compare(example, output.read_text()) or True,
                within_s=10,
            )

    async def _let_the_view_catch_up(self) -> None:
        """People who type are slower than the read model; without this the examples would not be."""
        strong = {"Cache-Control": "no-cache", "Prefer": "wait=10"}
        async with plain_http(self._url, timeout=15) as client:
            assert (await client.get("/v1/resources", headers=strong)).status_code == 200

    async def _in_shell(self, text: str) -> str:
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write(f"{text}\necho; echo {END} $?\n".encode())
        printed = ""
        async with asyncio.timeout(EXAMPLE_DEADLINE_S):
            while not printed.endswith("\n") or END not in printed:
                printed += (await self._shell.stdout.readline()).decode()
                assert self._shell.returncode is None, printed
        printed, _, code = printed.rpartition(END)
        assert int(code) == 0, f"exit code {code} of:\n{text}"
        return printed

    async def _beside_it(self, example: Example, text: str) -> None:
        output = self._folder / f"another-terminal-{example.line}.txt"
        # The variables of the page's shell are those a reader would have set there, too.
        variables = await self._in_shell("declare -p | grep -E '^declare -- [A-Z]+='")
        with output.open("wb") as file:
            process = await self._start(
                "bash", "-c", f"{variables}\nexec {text.strip()}", stdout=file.fileno()
            )
        self._beside.append((example, process, output))
        await eventually(lambda: output.stat().st_size > 0, within_s=10)

    async def _start(self, *command: str, **more) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command,
            **{
                "cwd": self._folder,
                "env": self._environ,
                "stdin": asyncio.subprocess.DEVNULL,
                "stdout": asyncio.subprocess.PIPE,
                **more,
            },
        )


def compare(example: Example, printed: str) -> None:
    """Fail unless `printed` is what the page says."""
    place = f"the example of line {example.line}"
    match example.printed_kind:
        case "json":
            differs = difference(json.loads(example.prints), json.loads(printed))
            assert not differs, f"{place}: {differs}\n{printed}"
        case "http":
            _compare_answers(place, example.prints, printed)
        case "text":
            rest = printed
            for line in filter(None, (line.strip() for line in example.prints.splitlines())):
                found = _pattern(line).search(rest)
                assert found, f"{place}: {line!r} is not (or not there) in\n{printed}"
                rest = rest[found.end() :]
        case _:
            pass


def later(example: Example, printed: str) -> set[int]:
    """By how much the positions printed are above those that the page says."""
    said = _POSITION.findall(example.prints) if example.printed_kind in ("json", "http") else []
    is_ = _POSITION.findall(printed) if said else []
    return {int(b) - int(a) for a, b in zip(said, is_, strict=True) if a.isdigit()}


def _compare_answers(place: str, expected: str, actual: str) -> None:
    said, _, body_said = expected.strip().partition("\n\n")
    head, _, body = actual.replace("\r", "").strip().partition("\n\n")
    status, *headers = head.splitlines()
    first, *wanted = said.splitlines()
    assert status.split()[1] == first.split()[1], f"{place}: {status}\n{body}"
    for line in wanted:
        name, _, value = line.partition(": ")
        values = [h.partition(": ")[2] for h in headers if h.lower().startswith(f"{name.lower()}:")]
        assert any(_pattern(value).fullmatch(each) for each in values), f"{place}: {line}: {values}"
    if body_said:
        differs = difference(json.loads(body_said), json.loads(body))
        assert not differs, f"{place}: {differs}\n{body}"


def difference(said, is_, where: str = "$") -> str:
    """Say where two JSON values differ; empty when they agree."""
    match said:
        case dict() if isinstance(is_, dict):
            if list(said) != list(is_):
                return f"{where} has the members {list(is_)}"
            found = (
                ""
                if name in ("position", "head") and isinstance(is_[name], int)
                else difference(value, is_[name], f"{where}.{name}")
                for name, value in said.items()
            )
            return next(filter(None, found), "")
        case list() if isinstance(is_, list) and len(said) == len(is_):
            pairs = enumerate(zip(said, is_, strict=True))
            found = (difference(a, b, f"{where}[{number}]") for number, (a, b) in pairs)
            return next(filter(None, found), "")
        case "?":
            return "" if isinstance(is_, int) else f"{where} is {is_!r}"
        case str() if isinstance(is_, str) and _pattern(said).fullmatch(is_):
            return ""
        case _:
            return "" if said == is_ and type(said) is type(is_) else f"{where} is {is_!r}"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*?".join(re.escape(part) for part in text.split("…")), re.DOTALL)
