"""The client's browser, by its WebDriver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ChromeOptions, Remote
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait
from urllib3.exceptions import HTTPError

from lab.topology import machine
from open_website.page import LOOK, Load, PageError, first_line, read

LAB = f"http://{machine('client').address4}:4444"
"""Where the WebDriver of the lab's client answers."""
PATIENCE = 60.0
"""Seconds within which a page must have come."""
LOADED = "const page = performance.getEntriesByType('navigation')[0]; return !page || page.loadEventEnd > 0"


@contextmanager
def browser(driver: str, *switches: str) -> Iterator[WebDriver]:
    """Lend a fresh browser, with nothing kept from another, started with SWITCHES; it ends with the block.

    DRIVER is the address of its WebDriver. Raises PageError where none answers there.
    """
    options = ChromeOptions()
    for switch in ("--window-size=1280,900", *switches):
        options.add_argument(switch)
    try:
        started = Remote(command_executor=driver, options=options)
    except (WebDriverException, HTTPError, OSError) as error:
        raise PageError(
            f"no browser can be had at {driver}: {first_line(str(error))}. Install one with playbooks/browse.yml, have "
            "the tunnel up, and connect from a host that may manage the client (client_management_sources)"
        ) from None
    try:
        started.set_page_load_timeout(PATIENCE)
        yield started
    finally:
        started.quit()


def open_page(driver: str, url: str, screenshot: Path | None = None) -> Load:
    """Load the page at URL in a fresh browser and return how it came, with a picture of it in SCREENSHOT, if named.

    Raises PageError where it did not, OSError where the picture cannot be written.
    """
    try:
        with browser(driver) as window:
            window.get(url)
            WebDriverWait(window, PATIENCE).until(lambda each: each.execute_script(LOADED))
            found = read(window.execute_script(LOOK))
            picture = window.get_screenshot_as_png() if screenshot else b""
    except (WebDriverException, HTTPError) as error:
        raise PageError(first_line(str(error))) from None
    if screenshot:
        screenshot.write_bytes(picture)
    return found
