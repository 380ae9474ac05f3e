"""A headless Chromium, for tests of pages and for the pictures of the documentation."""

import shutil
from contextlib import contextmanager

__all__ = ["CHROMIUM", "DRIVER", "browser", "opened"]

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))


@contextmanager
def browser(*, width=1400, height=1000, dark=False):
    """A selenium WebDriver whose pages are ``width`` wide."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    # A machine may be busy with other things.
    driver.set_script_timeout(300)
    driver.set_page_load_timeout(300)
    try:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                               {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 640})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                               {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        yield driver
    finally:
        driver.quit()


def opened(driver, path, seconds=300):
    """Open a page, and wait until all is drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get(path.resolve().as_uri())
    WebDriverWait(driver, seconds, 0.1).until(lambda driver: driver.execute_script("return document.body.dataset.ready") == "yes")
