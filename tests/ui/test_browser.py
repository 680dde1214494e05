"""The whole way in a real browser: Chromium, driven by Playwright."""

import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.conftest import Server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SWAPPED = (5, 15, 25, 35, 45)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine to open the page in"),
]


@pytest.fixture
def browser() -> Iterator:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright, which drives the browser, is missing")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


def _archive(photos: Path, path: Path) -> Path:
    """The photos as a zip in which some of the first class lie in the folder of the second."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("china", "flower"):
            for number, photo in enumerate(sorted((photos / name).glob("*.jpg"))):
                label = "flower" if name == "china" and number in SWAPPED else name
                archive.write(photo, f"set/{label}/{name}-{photo.name}")
    return path


@pytest.mark.timeout(900)
def test_from_photos_to_a_download(server: Server, photos: Path, tmp_path: Path, browser) -> None:
    context = browser.new_context(viewport={"width": 1180, "height": 900}, permissions=["camera"])
    page = context.new_page()
    page.set_default_timeout(240_000)  # a base is prepared meanwhile, on a machine that may be busy
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "request",
        lambda one: None if one.url.startswith((server.address, "data:", "blob:")) else troubles.append(one.url),
    )

    # Add data: a zip
    page.goto(server.address)
    page.get_by_role("link", name="New training").first.click()
    page.set_input_files("#files", _archive(photos, tmp_path / "mine.zip"))
    page.wait_for_url("**/data?path=*")
    assert "110 images in 2 classes" in page.inner_text("h1 + .lead")
    assert page.evaluate("[...document.querySelectorAll('.film img')].length") == 12

    # Check them, and come back
    page.get_by_role("button", name="Check the data").click()
    page.wait_for_url("**/audit")
    assert "110 of 110 images in 2 classes" in page.inner_text("header .lead")
    page.get_by_role("link", name="Continue").click()

    # Choose a base, and train
    page.get_by_text(re.compile("Choose from .* base")).click()
    page.get_by_label("efficientnet-lite0", exact=False).last.check()
    page.get_by_role("button", name="Train", exact=True).press("Enter")
    page.wait_for_url("**/jobs/*")
    page.wait_for_url("**/runs/mine")

    # The matrix, the labels that were planted, and training again without them
    cells = [int(re.match(r"\d+", text)[0]) for text in page.locator(".confusion td").all_inner_texts()]
    assert len(cells) == 4
    assert sum(cells) == sum(int(text) for text in re.findall(r"On (\d+) test", page.inner_text(".opening")))
    doubted = page.locator("#label-issues li")
    planted = doubted.filter(has_text="flower/china-")
    count = planted.count()
    assert count > len(SWAPPED) / 2
    for number in range(count):
        planted.nth(number).get_by_text("it is china").click()
    page.get_by_role("button", name=f"Train again with {count} changed").click()
    page.wait_for_url("**/runs/mine-2")
    assert page.locator("#label-issues li").filter(has_text="flower/china-").count() < count

    # Try it: a file, then the camera
    page.get_by_role("link", name="Try it").click()
    page.set_input_files("#image", photos / "flower/30.jpg")
    page.wait_for_selector("#answer .image-pair")
    assert page.inner_text("#answer .prediction") == "flower"
    assert page.locator("#answer .similar li").count() > 0
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take an image").click()
    page.locator("#answer figcaption.file", has_text="camera").wait_for()

    # Take it along: in another format, and as it is
    page.get_by_role("link", name="Export").click()
    for format_ in page.locator("input[type=checkbox]").all():
        format_.set_checked(format_.get_attribute("name") == "openvino")
    page.get_by_role("button", name="Export", exact=True).click()
    page.wait_for_url("**/jobs/*")
    page.wait_for_url("**/export")
    assert page.get_by_role("link", name="Download").first.get_attribute("href").endswith("/exports/openvino")
    with page.expect_download() as download:
        page.locator("li", has_text="The whole run").get_by_role("link", name="Download").click()
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as packed:
        assert "mine-2/model.keras" in packed.namelist()
    page.get_by_role("button", name="Start a server").click()
    page.get_by_role("button", name="Stop the server").wait_for()
    assert "is served at http://127.0.0.1:" in page.locator("#server").inner_text()
    page.get_by_role("button", name="Stop the server").click()
    page.get_by_role("button", name="Start a server").wait_for()

    # Come back later
    page.get_by_role("link", name="headstart", exact=True).click()
    assert page.locator(".runs strong", has_text="mine-2").count() == 1
    assert troubles == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone(server: Server, browser, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    backgrounds = set()
    (server.root / "news.csv").write_text("title,description,what it is about\nA title,A description,politics\n" * 2)
    for path in (
        "/",
        "/new",
        "/data?path=photos",
        "/data?path=news.csv",
        "/runs/photos",
        "/runs/photos/try",
        "/runs/photos/export",
        "/none",
    ):
        page.goto(server.address + path)
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, path
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    (background,) = backgrounds
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 3 * 128) == (scheme == "light")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    context.close()
