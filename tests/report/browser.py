"""A headless Chromium for tests, over the DevTools protocol on two pipes: no driver, no socket, no network.

`python -m tests.report.browser install` installs Debian's package where it is missing (as root), and
`python -m tests.report.browser look FILE.html PICTURE.png [width=1280] [dark=true]` takes a picture of a page.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--hide-scrollbars", "--disable-extensions", "--disable-dev-shm-usage",
)  # fmt: skip
SECONDS = 60.0
"""How long an answer may take on a busy machine."""


def program() -> str | None:
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def why_not() -> str | None:
    """Why no browser can be had on this machine; None where it can."""
    return None if program() else "no chromium here: as root, python -m tests.report.browser install"


def remove(folder: Path, seconds: float = 10.0) -> None:
    """Delete a folder to which dying processes may still write: what they add meanwhile is deleted as well."""
    deadline = time.monotonic() + seconds
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class BrowserError(Exception):
    """The browser did not answer, or a script in the page failed."""


class Browser:
    """One page of a browser that can reach nothing but files; `faults` and `requests` fill as it goes."""

    def __init__(self) -> None:
        self.faults: list[str] = []  # errors and warnings of the console, exceptions, refusals of the page's policy
        self.requests: list[str] = []  # addresses, in order
        self.loaded = 0
        self._number, self._rest, self._answers = 0, b"", {}
        self._profile = Path(tempfile.mkdtemp(prefix="chromium-"))
        theirs, self._out = os.pipe()
        self._in, ours = os.pipe()
        found = program()
        assert found is not None
        command = [found, *FLAGS, f"--user-data-dir={self._profile}"]
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        shell = ["bash", "-c", f'exec "$0" "$@" 3<&{theirs} 4>&{ours}', *command, "about:blank"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(shell, pass_fds=(theirs, ours), start_new_session=True, **quiet)
        os.close(theirs)
        os.close(ours)
        self._session = ""
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self) -> None:
        """To a new page, cut off from the network."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        nothing = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.call("Network.emulateNetworkConditions", offline=True, **nothing)

    @property
    def group(self) -> int:
        """Its process group, helpers included."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)  # its helpers too, which may outlive it and write on
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        remove(self._profile)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        self._read_until(lambda: self._number in self._answers, method)
        answer = self._answers.pop(self._number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _read_until(self, done: Any, what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not done():
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            received = os.read(self._in, 1 << 20) if ready else b""
            if not received:
                raise BrowserError(f"{what}: no answer" if not ready else f"{what}: the browser is gone")
            *messages, self._rest = (self._rest + received).split(b"\0")
            for message in messages:
                self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
            return
        method, parameters = message["method"], message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.faults.append(f"{details['text']} {details.get('exception', {}).get('description', '')}")
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in {"error", "warning", "assert"}:
            self.faults.append(str(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in {"error", "warning"}:
            self.faults.append(parameters["entry"]["text"])
        elif method == "Page.loadEventFired":
            self.loaded += 1

    def open(self, path: Path) -> None:
        """Load a file; what was seen of the page before is forgotten."""
        self.faults.clear()
        self.requests.clear()
        before = self.loaded
        self.call("Page.navigate", url=path.resolve().as_uri())
        self._read_until(lambda: self.loaded > before, "Page.navigate")

    def script(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def size(self, width: int, height: int = 900) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def media(self, kind: str = "screen", scheme: str = "light") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=kind, features=features)

    def centre(self, selector: str, number: int = 0) -> tuple[float, float]:
        """Where the middle of an element lies in the window, once it has been scrolled there."""
        found = f"document.querySelectorAll({json.dumps(selector)})[{number}]"
        self.script(f"{found}.scrollIntoView({{block: 'center'}})")
        box = self.script(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
                          f"({found}.getBoundingClientRect())")  # fmt: skip
        return box[0], box[1]

    def move(self, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x: float, y: float) -> None:
        self.move(x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        code = {"Tab": 9, "Escape": 27, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39}[key]
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, path: Path, whole: bool = True) -> None:
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])


def install() -> None:
    """Debian's Chromium, where there is none."""
    if why_not() is None:
        return
    if os.geteuid():
        sys.exit("error: not root: sudo apt-get install chromium")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    subprocess.run([*apt, "update"], check=True, env=environment)
    subprocess.run([*apt, "install", "-y", "--no-install-recommends", "chromium"], check=True, env=environment)


def look(page: Path, picture: Path, width: int, dark: bool) -> None:
    with Browser() as browser:
        browser.size(width)
        browser.media(scheme="dark" if dark else "light")
        browser.open(page)
        browser.size(width, min(browser.script("document.documentElement.scrollHeight"), 16000))
        browser.picture(picture)
        print("\n".join(browser.faults))


if __name__ == "__main__":
    if sys.argv[1:] == ["install"]:
        install()
    else:
        given = dict(argument.split("=", 1) for argument in sys.argv[4:])
        look(Path(sys.argv[2]), Path(sys.argv[3]), int(given.get("width", 1280)), given.get("dark") == "true")
