"""The page in a browser: by mouse, by keyboard alone, narrow and wide, light and dark."""

from __future__ import annotations

import io
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run"]
TEXT = "The train to the airport leaves in ten minutes."


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    import uvicorn

    from unmask.serve.app import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    found = context.new_page()
    complaints: list[str] = []
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.on("console", lambda message: complaints.append(message.text) if is_mistake(message) else None)
    found.goto(address)
    playwright.expect(found.locator("#text")).not_to_have_value("", timeout=60_000)
    yield found
    assert complaints == []
    context.close()


def is_mistake(message: Any) -> bool:
    """Not that the server refused something: the browser notes that by itself."""
    return message.type == "error" and "Failed to load resource" not in message.text


def invert(page: Any, text: str = TEXT) -> None:
    page.fill("#text", text)
    page.click("#invert")
    playwright.expect(page.locator("#status")).to_contain_text("Done", timeout=60_000)


def test_what_is_being_written_is_not_overwritten_by_the_first_sample(browser: Any, address: str) -> None:
    page = browser.new_page()
    waiting: list[Any] = []
    page.route("**/random*", lambda route: waiting.append(route))
    page.goto(address)
    while not waiting:
        page.wait_for_timeout(20)
    page.fill("#text", "What I am writing.")
    with page.expect_response("**/random*") as answered:
        waiting[0].continue_()
    answered.value.finished()
    page.wait_for_timeout(500)
    assert page.input_value("#text") == "What I am writing."
    page.close()


@pytest.mark.parametrize("width", [360, 1440])
def test_what_comes_back_is_in_sight(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    invert(page)
    playwright.expect(page.locator("#tokens")).to_be_in_viewport()


def test_a_sentence_is_inverted_and_compared(page: Any) -> None:
    invert(page)
    assert page.locator("#true").inner_text().replace(" .", ".").strip() == TEXT.lower()
    assert page.locator("#found .right").count() > 2
    assert "dimension384" in "".join(page.locator("#numbers").inner_text().split())
    assert page.locator("#tokens .masked").count() == 0


def test_steps_go_back_and_forth(page: Any) -> None:
    invert(page)
    last = int(page.locator("#scrub").get_attribute("max"))
    assert last > 3
    page.fill("#scrub", "0")
    total = page.locator("#tokens li").count()
    assert page.locator("#tokens .masked").count() == total, "first there is nothing but masks"
    hidden = []
    for number in range(last + 1):
        page.fill("#scrub", str(number))
        hidden.append(page.locator("#tokens .masked").count())
        if number:
            assert page.locator("#tokens .new").count() >= 1
    assert hidden == sorted(hidden, reverse=True) and hidden[-1] == 0
    page.select_option("#speed", "4")
    page.click("#play")
    playwright.expect(page.locator("#step-shown")).to_have_text(f"{last} of {last}", timeout=20_000)
    playwright.expect(page.locator("#play")).to_have_text("Play")


def test_a_tokens_alternatives_are_shown_when_it_is_pointed_at(page: Any) -> None:
    invert(page)
    token = page.locator("#tokens button").nth(1)
    token.hover()
    playwright.expect(page.locator("#alternatives ol li")).to_have_count(8, timeout=20_000)
    assert page.locator("#alternatives h3").inner_text().startswith(f"Instead of “{token.inner_text()}”")
    shares = [float(found) for found in re.findall(r"([\d.]+) %", page.locator("#alternatives ol").inner_text())]
    assert shares == sorted(shares, reverse=True)


def test_noise_lowers_what_comes_back(page: Any) -> None:
    invert(page)
    before = float(re.search(r"token F1\s+(\d+)", page.locator("#scores").inner_text())[1])  # type: ignore[index]
    page.fill("#noise", "2")
    page.locator("#noise").dispatch_event("change")
    playwright.expect(page.locator("#kept")).to_contain_text("0.4", timeout=20_000)
    playwright.expect(page.locator("#status")).to_contain_text("Done", timeout=60_000)
    after = float(re.search(r"token F1\s+(\d+)", page.locator("#scores").inner_text())[1])  # type: ignore[index]
    assert after < before
    page.click("#plot")
    playwright.expect(page.locator("#plot-table tbody tr")).to_have_count(10, timeout=60_000)
    playwright.expect(page.locator("#plot-picture circle")).to_have_count(10)


@pytest.mark.parametrize("kind", ["npy", "jsonl", "json"])
def test_a_file_of_vectors_fills_the_table(page: Any, kind: str, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 384)).astype(np.float32) * 0.05
    buffer = io.BytesIO()
    np.save(buffer, vectors)
    content = {
        "npy": buffer.getvalue(),
        "json": json.dumps(vectors.tolist()).encode(),
        "jsonl": "\n".join(json.dumps({"id": f"v{n}", "vector": v}) for n, v in enumerate(vectors.tolist())).encode(),
    }[kind]
    page.click("#own summary")
    page.set_input_files("#file", {"name": f"mine.{kind}", "mimeType": "application/octet-stream", "buffer": content})
    playwright.expect(page.locator("#status")).to_have_text("Done: 5 vectors.", timeout=60_000)
    rows = page.locator("#batch-table tbody tr")
    assert rows.count() == 5 and rows.nth(1).locator("td").first.inner_text() == ("v1" if kind == "jsonl" else "1")
    with page.expect_download() as waited:
        page.click("#download")
    lines = [json.loads(line) for line in Path(waited.value.path()).read_text("utf-8").splitlines()]
    assert [line["text"] for line in lines] == rows.locator("td:nth-child(2)").all_inner_texts()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.npy", b"\x80\x04\x95pickled things", "no .npy file"),
        ("mine.json", b"{]", "neither JSON nor JSON lines"),
        ("mine.jsonl", b'{"vector": [1, "a"]}', "no list of numbers"),
        ("mine.json", b"[[0.1, 0.2], [0.3, 0.4]]", "384"),
    ],
)
def test_files_that_hold_something_else_are_told(page: Any, name: str, content: bytes, message: str) -> None:
    page.click("#own summary")
    page.locator("#status").evaluate("element => element.textContent = ''")
    page.set_input_files("#file", {"name": name, "mimeType": "application/octet-stream", "buffer": content})
    playwright.expect(page.locator("#status")).to_contain_text(message, timeout=20_000)


def test_with_the_encoder_in_the_loop_and_stopped(page: Any) -> None:
    page.select_option("#loop", "encoder")
    assert page.locator("#budget").is_visible() and not page.locator("#decoder").is_visible()
    page.fill("#budget", "200")
    invert(page)
    calls = int(re.search(r"encoder calls\s+(\d+)", page.locator("#scores").inner_text())[1])  # type: ignore[index]
    assert 0 < calls <= 200
    page.fill("#budget", "100000")
    page.fill("#text", "Between Tromsø and Alta the coastal steamer stops at Skjervøy, Øksfjord and Hammerfest.")
    page.click("#invert")
    playwright.expect(page.locator("#tokens li").first).to_be_visible(timeout=30_000)
    page.click("#stop")
    playwright.expect(page.locator("#status")).to_have_text("Stopped.", timeout=20_000)


def test_a_link_gives_the_run_again_without_the_text_unless_asked(page: Any, address: str) -> None:
    page.fill("#steps", "7")
    page.fill("#seed", "5")
    page.select_option("#decoder", "euler")
    invert(page)
    found = page.locator("#found").inner_text()
    page.click("#link")
    playwright.expect(page.locator("#status")).to_contain_text("clipboard")
    link = page.evaluate("navigator.clipboard.readText()")
    assert "train" not in link and "seed=5" in link
    page.check("#link-text")
    page.click("#link")
    with_text = page.evaluate("navigator.clipboard.readText()")
    assert "train" in with_text.split("#")[1] and "train" not in with_text.split("#")[0]
    page.goto("about:blank")
    page.goto(with_text)
    playwright.expect(page.locator("#text")).to_have_value(re.compile("train"), timeout=20_000)
    page.click("#invert")
    playwright.expect(page.locator("#status")).to_contain_text("Done", timeout=60_000)
    assert page.locator("#found").inner_text() == found


def test_everything_can_be_done_with_the_keyboard(page: Any) -> None:
    page.locator("#text").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type(TEXT)

    def reach(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id || document.activeElement.dataset.place") == name:
                return
        raise AssertionError(f"{name} cannot be reached")

    reach("invert")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#status")).to_contain_text("Done", timeout=60_000)
    reach("0")
    playwright.expect(page.locator("#alternatives ol li")).to_have_count(8, timeout=20_000)
    reach("scrub")
    page.keyboard.press("Home")
    assert page.locator("#step-shown").inner_text().startswith("0 of")
    page.keyboard.press("ArrowRight")
    assert page.locator("#step-shown").inner_text().startswith("1 of")
    reach("copy")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#status")).to_contain_text("The text is in the clipboard")


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(browser: Any, address: str, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    playwright.expect(page.locator("#text")).not_to_have_value("", timeout=60_000)
    page.click("#own summary")
    invert(page)
    page.locator("#tokens button").first.hover()
    playwright.expect(page.locator("#alternatives ol li")).to_have_count(8, timeout=20_000)
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    context.close()


def test_the_examples_of_the_description_run(page: Any, address: str) -> None:
    page.goto(f"{address}docs")
    sections = page.locator("#operations section")
    playwright.expect(sections.first).to_be_visible(timeout=20_000)
    assert sections.count() >= 12
    for place in range(sections.count()):
        section = sections.nth(place)
        section.locator("button").click()
        playwright.expect(section.locator("pre")).to_contain_text(re.compile(r"^200\n."), timeout=30_000)
    assert axe.Axe().run(page).violations_count == 0
