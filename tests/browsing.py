"""Pages in a headless Chromium; tests that need one are skipped where there is none."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def chromium():
    """Path of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Opened:
    """A page that collects what its scripts report as errors."""

    def __init__(self, browser, path, width=1280, height=900, **options):
        size = {"width": width, "height": height}
        self.page = browser.new_page(viewport=size, **options)
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        self.page.set_default_timeout(10_000)
        self.requests = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def _note(self, line):
        if line.type == "error":
            self.errors.append(line.text)

    def wait_for_viewer(self):
        self.page.evaluate("document.querySelector('.still').parentElement.scrollIntoView()")
        self.page.wait_for_selector(".viewer.ready", timeout=10_000)
        self.settle()

    def settle(self):
        """Until what was asked for is drawn."""
        frame = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
        for _ in range(3):
            self.page.evaluate(frame)

    def grey(self, across, down=0.5):
        """Red, green and blue of the canvas at shares of its width and height."""
        self.settle()
        return self.page.evaluate(
            """([x, y]) => {
              const canvas = document.querySelector(".viewer canvas");
              const [left, top] = [canvas.width * x, canvas.height * y].map(Math.floor);
              return [...canvas.getContext("2d").getImageData(left, top, 1, 1).data].slice(0, 3);
            }""",
            [across, down],
        )

    def range(self, name):
        """The range input with this name."""
        return self.page.locator(".viewer").first.locator(f"label:has-text('{name}') input")

    def press(self, key):
        self.page.locator(".viewer canvas").first.press(key)
        self.settle()

    def overflowing(self):
        """Elements that reach beyond the right border of the window, or are cut in their box."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll("body *")].filter((element) => {
              const box = element.getBoundingClientRect();
              return box.width && (box.right > innerWidth + 1
                || (element.matches(".scroll") && element.scrollWidth > element.clientWidth + 1));
            }).map((element) => `${element.tagName} ${element.className}`)"""
        )
