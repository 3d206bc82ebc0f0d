"""The page as a browser shows it: drawn, without a complaint, and every point tells its value. Skipped only where no browser is installed."""

import asyncio
import re
import shutil
import zlib
from pathlib import Path

import pytest
from test_findings import ALL_WELL, findings

from loadtest.reports.html import page

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is here")

POINT_AT_THE_FIRST_DOT = """
<script>
document.querySelector('.hit').dispatchEvent(new PointerEvent('pointerover', {bubbles: true}));
document.title = 'tip: ' + tip.textContent + ' shown: ' + tip.style.display
  + ' plots: ' + document.querySelectorAll('figure svg path.line').length
  + ' overflow: ' + (document.documentElement.scrollWidth > document.documentElement.clientWidth);
</script>
"""


async def browse(file: Path, *options: str) -> tuple[str, str]:
    """What the browser writes: its output, and its complaints."""
    browser = await asyncio.create_subprocess_exec(
        BROWSER,
        *("--no-sandbox", "--headless", "--disable-gpu", "--hide-scrollbars"),
        *("--enable-logging=stderr", f"--user-data-dir={file.parent / 'profile'}"),
        *options,
        file.as_uri(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, complaints = await browser.communicate()
    return out.decode(), complaints.decode()


def colours(png: bytes) -> tuple[int, int, int]:
    """Width, height and how many different bytes a picture is made of: a blank one has a handful."""
    width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
    data, at = b"", 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += size + 12
    return width, height, len(set(zlib.decompress(data)))


async def test_the_page_is_drawn_without_a_complaint_and_every_point_tells_its_value(tmp_path):
    file = tmp_path / "report.html"
    html = page(findings(ALL_WELL))
    file.write_text(html.replace("</body>", f"{POINT_AT_THE_FIRST_DOT}</body>"))
    picture = tmp_path / "page.png"
    dom, complaints = await browse(
        file, "--dump-dom", "--window-size=1280,2400", f"--screenshot={picture}"
    )
    assert not re.search(r"CONSOLE|Refused to|Uncaught", complaints), complaints
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1]
    assert "tip: guard off" in title
    assert "shown: block" in title
    assert int(re.search(r"plots: (\d+)", title)[1]) >= 6
    assert "overflow: false" in title


async def test_a_screenshot_shows_more_than_paper(tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page(findings(ALL_WELL)))
    picture = tmp_path / "page.png"
    await browse(file, "--window-size=1280,2400", f"--screenshot={picture}")
    width, height, different = colours(picture.read_bytes())
    assert (width, height) == (1280, 2400)
    assert different > 60
