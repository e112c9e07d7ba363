"""The page in a real browser: Debian's chromium, where it is installed."""

import re
import shutil

import pytest

from galr.images.places import ImagePlace
from galr.search.archive import Archive
from tests.search.serve.conftest import encoded, picture, serving

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # as root, in a container, chromium's sandbox does not work
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def page(browser, served):
    """A page of its own; in the end nothing was wrong, and nothing was asked of other hosts."""
    with browser.new_context(viewport={"width": 1000, "height": 700}) as context:
        context.set_default_timeout(8000)
        made = context.new_page()
        wrong, asked = [], []
        made.on("console", lambda message: wrong.append(message.text))
        made.on("pageerror", lambda error: wrong.append(str(error)))
        made.on("dialog", lambda dialog: wrong.append("a script ran"))
        made.on("request", lambda request: asked.append(request.url))
        made.goto(served)
        expect(made.locator(".card")).to_have_count(6)
        yield made
        assert wrong == []
        assert [url for url in asked if not url.startswith(f"{served}/")] == []


def search(page, sentence):
    page.get_by_label("Describe a scene").fill(sentence)
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("6 images")


def focused(page):
    return page.evaluate("document.activeElement.id || document.activeElement.className")


def test_a_search_begun_before_the_archive_answered_is_done(page):
    held = []
    page.route("**/api/archive", lambda route: held.append(route))
    page.reload(wait_until="domcontentloaded")
    page.get_by_label("Describe a scene").fill("a red square")
    page.keyboard.press("Enter")
    while not held:
        page.wait_for_timeout(20)
    held[0].continue_()
    expect(page.locator("#status")).to_contain_text("6 images, most similar first")
    assert page.locator("#text").input_value() == "a red square"


def test_a_sentence_by_keyboard_alone(page):
    page.keyboard.press("Tab")
    assert focused(page) == "skip"
    page.keyboard.press("Tab")
    assert focused(page) == "text"
    page.keyboard.type("a red square")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("6 images, most similar first")
    expect(page.get_by_role("heading", name="Results")).to_be_visible()
    expect(page.locator(".card").nth(1)).to_contain_text("Result 2")
    texts = page.locator(".score").all_text_contents()
    scores = [float(text.split()[-1].replace("−", "-")) for text in texts]
    assert scores == sorted(scores, reverse=True)
    page.locator(".card").first.focus()
    page.keyboard.press("Tab")
    name = page.locator(".card .name").nth(1).text_content()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=name)
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("img")).to_have_attribute("alt", re.compile(f"Image {name}. The"))
    for _ in range(12):  # the page behind the dialog cannot be reached
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || "
            "document.querySelector('dialog').contains(document.activeElement)"
        )
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent.trim()").endswith(texts[1])


def test_details_show_objects_captions_and_why(page):
    page.get_by_label("Rerank").check()
    search(page, "a red square")
    page.locator(".card").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Result 1")
    expect(dialog).to_contain_text("40 × 40 pixels")
    expect(dialog).to_contain_text("Reverse rank")
    expect(dialog.locator("tr.object")).to_have_text(["1plane0.90", "2ship0.80", "3plane0.50"])
    expect(dialog).to_contain_text("1 plane – 2 ship")
    box = dialog.locator("svg g[data-object='0'] .box").bounding_box()
    shown = dialog.get_by_role("img").bounding_box()
    side = min(shown["width"], shown["height"])
    left = shown["x"] + (shown["width"] - side) / 2
    # a border of 2.5 pixels lies half outside
    assert box["x"] - left == pytest.approx(0.2 * side, abs=3)
    assert box["width"] == pytest.approx(0.2 * side, abs=6)
    dialog.get_by_label("Draw objects and edges").uncheck()
    expect(dialog.locator("svg")).to_be_hidden()
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text("Result 2")
    dialog.get_by_role("button", name="Previous image").click()
    expect(dialog).to_contain_text("Result 1")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_more_like_an_image_and_back(page):
    page.locator(".card").nth(3).click()
    page.get_by_role("button", name="More like this").click()
    expect(page.locator("#chosen")).to_contain_text("test_3.png")
    expect(page.locator(".card").first).to_contain_text("test_3.png")
    expect(page.get_by_label("Rerank")).to_be_disabled()
    expect(page.locator("#heading")).to_be_focused()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_label("Search by an image")).to_be_focused()
    search(page, "a grey frame")
    page.go_back()
    expect(page.locator("#chosen")).to_contain_text("test_3.png")
    page.go_back()
    expect(page.get_by_role("heading", name="Images of the archive")).to_be_visible()


def test_an_image_of_ones_own(page):
    upload = page.get_by_label("Search by an image")
    upload.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": encoded(picture())})
    expect(page.locator("#status")).to_contain_text("6 images")
    expect(page.locator("#status")).to_contain_text("compared without objects")
    expect(page.locator("#chosen")).to_contain_text("a.png")
    expect(page.locator("#preview canvas")).to_be_visible()
    page.get_by_label("Describe a scene").fill("a red square")
    expect(page.get_by_label("The sentence's share")).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("#status")).to_contain_text("6 images")
    tiff = {"name": "b.tif", "mimeType": "image/tiff", "buffer": encoded(picture(), "TIFF")}
    upload.set_input_files(tiff)  # which the browser cannot show
    expect(page.locator("#preview")).to_have_text("TIF")
    expect(page.locator("#status")).to_contain_text("6 images")


def test_an_image_is_dropped(page):
    page.evaluate(
        """async () => {
          const canvas = document.createElement("canvas");
          canvas.getContext("2d").fillRect(0, 0, 50, 50);
          const blob = await new Promise((done) => canvas.toBlob(done));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([blob], "dropped.png", { type: "image/png" }));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
        }"""
    )
    expect(page.locator("#chosen")).to_contain_text("dropped.png")
    expect(page.locator("#status")).to_contain_text("6 images")


def test_hostile_text_stays_text(page):
    hostile = "red <img src=x onerror=alert(1)><script>alert(2)</script>"
    search(page, hostile)
    expect(page.locator("#status")).to_contain_text("onerror")
    assert page.locator("img[src=x], main script").count() == 0
    page.reload()  # from the address
    expect(page.locator("#text")).to_have_value(hostile)
    expect(page.locator("#status")).to_contain_text("onerror")


def test_too_much_is_told_before_it_is_sent(page, tmp_path):
    text = page.get_by_label("Describe a scene")
    text.fill("a" * 5000)
    page.keyboard.press("Enter")
    assert len(text.input_value()) <= 1000 or "at most 1,000" in page.text_content("#problem")
    large = tmp_path / "c.png"
    large.write_bytes(bytes((16 << 20) + 1))
    page.get_by_label("Search by an image").set_input_files(large)
    expect(page.get_by_role("alert")).to_contain_text("c.png has 16.0 MB; at most 16 MB are taken")
    text.fill(" ")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Write a sentence or choose an image")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(page, scheme):
    page.set_viewport_size({"width": 360, "height": 640})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    search(page, "a red square with aword" + "x" * 200)
    page.locator(".card").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("Strongest edges")
    for place in ("document.documentElement", "document.querySelector('dialog')"):
        assert page.evaluate(f"{place}.scrollWidth - {place}.clientWidth") <= 0
    page.keyboard.press("Escape")
    assert page.evaluate(CONTRAST) == []
    small = page.evaluate(
        "[...document.querySelectorAll('button, select, .button')].filter(one => "
        "one.offsetHeight && Math.min(one.offsetWidth, one.offsetHeight) < 24).length"
    )
    assert small == 0  # WCAG 2.5.8


# the texts of the page whose contrast with what is behind them is below 4.5
CONTRAST = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    const colour = getComputedStyle(one).backgroundColor;
    return /, 0\\)$/.test(colour) ? behind(one.parentElement) : colour;
  };
  return [...document.querySelectorAll("body *")].filter((one) =>
    one.offsetHeight && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
  ).map((one) => {
    const [low, high] = [light(getComputedStyle(one).color), light(behind(one))].sort();
    return [Math.max(low, high) + 0.05, Math.min(low, high) + 0.05, one.className, one.textContent];
  }).filter(([high, low]) => high / low < 4.5);
}"""


def test_what_a_screen_reader_finds(page):
    search(page, "a red square")
    for role, name in (
        ("search", "Images"), ("main", None), ("banner", None), ("region", "Results"),
        ("status", None), ("textbox", None), ("list", None),
    ):  # fmt: skip
        if role == "textbox":
            expect(page.get_by_role("searchbox", name="Describe a scene")).to_be_visible()
            continue
        expect(page.get_by_role(role, name=name).first).to_be_attached()
    assert page.locator("#status").get_attribute("role") == "status"
    nameless = page.evaluate(
        "[...document.querySelectorAll('input, select')].filter(one => !one.labels.length).length"
    )
    assert nameless == 0
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    label = page.locator(".card").first.aria_snapshot()
    assert re.search(r"Result 1.*test_\d\.png.*similarity|test_\d\.png Result 1 similarity", label)


def test_an_image_that_has_gone_has_a_place(browser, local_archive, tmp_path):
    path, _ = local_archive
    archive = Archive.open(path)
    folder = tmp_path / "scenes"
    shutil.copytree(archive.place.folder, folder)
    archive.place = ImagePlace(folder)
    (folder / archive.files[1].name).unlink()
    (folder / archive.files[2].name).write_bytes(b"damaged")
    with serving(archive) as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        expect(page.locator(".gone")).to_have_count(2)
        page.locator(".card").nth(1).click()
        expect(page.get_by_role("dialog")).to_contain_text("no longer where it was indexed")
        page.keyboard.press("Escape")
    with browser.new_context() as context:  # and where the server itself has gone
        page = context.new_page()
        with serving(archive) as address:
            page.goto(address)
            expect(page.locator(".card")).to_have_count(6)
        page.get_by_label("Describe a scene").fill("red")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
