"""Pages in headless Chromium: slider, colours, zoom, keys, and the width of a phone."""

import os
import shutil
import time

import pytest
from pages.runs import drawn_images, write_run

from wgan_jax.pages.comparison import comparison_page
from wgan_jax.pages.facts import read_facts
from wgan_jax.pages.run import run_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
BACKGROUND = "return getComputedStyle(document.body).backgroundColor"
WHITE, BLACK = "rgb(255, 255, 255)", "rgb(19, 21, 25)"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Addresses of the page of a run and of a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    facts = [
        read_facts(write_run(folder / name, seed=seed), name)
        for seed, name in enumerate(("a-run-with-a-long-name" * 3, "b"))
    ]
    texts = {
        "run": run_page(facts[0], drawn_images()),
        "several": comparison_page(facts, {}, "several"),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text)
    return {name: (folder / f"{name}.html").as_uri() for name in texts}


@pytest.fixture(scope="module")
def driver():
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    flags = "headless=new", "no-sandbox", "disable-gpu", "force-device-scale-factor=1"
    for flag in flags:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = ChromeService(shutil.which("chromedriver"), env=dict(os.environ))
    driver = Chrome(options, service)
    yield driver
    driver.quit()


@pytest.fixture
def browser(driver):
    """The browser, which must not have logged anything at the end of the test."""
    yield driver
    assert driver.get_log("browser") == []


def show(browser, address, width=1200, scheme="light"):
    # Without motion, a place is the same when it is found and when it is clicked.
    media = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in media.items()]
    call = browser.execute_cdp_cmd
    call("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    call("Emulation.setDeviceMetricsOverride", size)
    browser.get(address)


def one(browser, selector):
    return browser.find_element("css selector", selector)


def until(condition):
    """Waits until the page has reacted."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def ticks(browser, place=0):
    """Numbers and labels of a chart."""
    script = (
        "return [...document.querySelectorAll('figure.chart')[arguments[0]]"
        ".querySelectorAll('.plot text')].map(t => t.textContent)"
    )
    return browser.execute_script(script, place)


@pytest.mark.parametrize("name", ["run", "several"])
@pytest.mark.parametrize("width", [360, 1200])
def test_no_page_is_wider_than_the_screen_or_loads_anything(
    browser, pages, name, width
):
    show(browser, pages[name], width)
    assert (
        browser.execute_script("return document.documentElement.scrollWidth") <= width
    )
    until(lambda: "100" in ticks(browser))
    script = "return performance.getEntriesByType('resource').map(e => e.name)"
    loaded = browser.execute_script(script)
    assert [address for address in loaded if not address.startswith("data:")] == []


def test_the_slider_shows_one_picture_and_plays(browser, pages):
    from selenium.webdriver import Keys

    show(browser, pages["run"])
    shown = "return [...document.querySelectorAll('.film img')].map(i => !i.hidden)"
    slider, output = one(browser, ".film input"), one(browser, ".film output")
    assert browser.execute_script(shown) == [False, True]
    slider.send_keys(Keys.ARROW_LEFT)
    assert browser.execute_script(shown) == [True, False]
    assert output.text == slider.get_attribute("aria-valuetext") == "step 50"
    play = one(browser, ".play")
    play.click()
    assert play.get_attribute("aria-label") == "Pause"
    until(lambda: output.text == "step 100")
    assert browser.execute_script(shown) == [False, True]
    assert play.get_attribute("aria-label") == "Play"


def test_colours_follow_the_system_until_the_button_says_otherwise(browser, pages):
    for scheme, colour in (("light", WHITE), ("dark", BLACK)):
        show(browser, pages["run"], scheme=scheme)
        assert browser.execute_script(BACKGROUND) == colour
    button = one(browser, ".theme")
    for colour in (WHITE, BLACK):
        button.click()
        assert browser.execute_script(BACKGROUND) == colour
    assert button.get_attribute("aria-label") == "Colours: dark"
    button.click()


def test_a_drag_zooms_all_charts_and_a_double_click_resets(browser, pages):
    from selenium.webdriver import ActionChains

    show(browser, pages["run"])
    until(lambda: ticks(browser))
    before, plot = [ticks(browser, 0), ticks(browser, 1)], one(browser, ".plot")
    reset = one(browser, ".tools button")
    assert not reset.is_displayed()
    move = ActionChains(browser, duration=20).move_to_element_with_offset
    move(plot, -200, 0).click_and_hold().move_by_offset(150, 0).release().perform()
    until(lambda: ticks(browser, 0) != before[0])
    assert ticks(browser, 1) != before[1]
    assert reset.is_displayed()
    ActionChains(browser, duration=20).double_click(plot).perform()
    until(lambda: [ticks(browser, 0), ticks(browser, 1)] == before)
    assert not reset.is_displayed()


def test_a_chart_is_used_by_keys(browser, pages):
    from selenium.webdriver import Keys

    show(browser, pages["run"])
    until(lambda: ticks(browser))
    before, plot, tip = ticks(browser), one(browser, ".plot"), one(browser, ".tip")
    plot.send_keys(Keys.HOME)
    assert tip.text.splitlines()[0] == "10 generator updates"
    assert "each record: 1" in tip.text
    plot.send_keys(Keys.ARROW_RIGHT)
    assert "each record: 0.5" in tip.text
    plot.send_keys("+")
    assert ticks(browser) != before
    plot.send_keys(Keys.ESCAPE)
    assert ticks(browser) == before
    assert not tip.is_displayed()


def test_names_of_the_legend_hide_lines_and_the_axis_can_be_logarithmic(browser, pages):
    show(browser, pages["run"])
    until(lambda: ticks(browser))
    lines = "return document.querySelector('.plot').querySelectorAll('polyline').length"
    assert browser.execute_script(lines) == 3
    name = one(browser, ".legend button")
    name.click()
    assert name.get_attribute("aria-pressed") == "false"
    assert browser.execute_script(lines) == 2
    before = ticks(browser)
    one(browser, ".tools button[aria-pressed]").click()
    assert ticks(browser) != before
