"""Chromium without a window, driven over a pipe by its DevTools protocol."""
import base64
import json
import os
import shutil
import subprocess
import tempfile


class Browser:
    """Answers and events come in one stream; events are kept until asked for."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="twostep-chromium.")
        to_browser, self.write_to = os.pipe()
        self.read_from, from_browser = os.pipe()
        # The protocol is on descriptors 3 and 4. No sandbox, as tests may run
        # as root: the pages are our own.
        command = f'exec chromium "$@" 3<&{to_browser} 4>&{from_browser}'
        self.process = subprocess.Popen(
            ["bash", "-c", command, "chromium", "--headless=new",
             "--remote-debugging-pipe", f"--user-data-dir={self.profile}",
             "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync",
             "--hide-scrollbars", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.pending = b""
        self.events = []
        self.calls = 0

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def _message(self):
        while b"\0" not in self.pending:
            read = os.read(self.read_from, 1 << 20)
            if not read:
                raise RuntimeError("Chromium has gone")
            self.pending += read
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        self.calls += 1
        request = {"id": self.calls, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        os.write(self.write_to, json.dumps(request).encode() + b"\0")
        while True:
            message = self._message()
            if message.get("id") != self.calls:
                self.events.append(message)
            elif "error" in message:
                raise RuntimeError(f"{method}: {message['error']['message']}")
            else:
                return message["result"]


class Page:
    """A file in a tab of its own, at a width and in a colour scheme."""

    def __init__(self, browser, url, width, scheme):
        self.browser = browser
        self.target = browser.call("Target.createTarget",
                                   url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", flatten=True,
                                    targetId=self.target)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width,
                  height=900, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setTouchEmulationEnabled", enabled=width < 600,
                  maxTouchPoints=2)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])
        browser.events.clear()
        self.call("Page.navigate", url=url)
        self.evaluate("new Promise(done => document.readyState === 'complete'"
                      " ? done() : addEventListener('load', done))")
        self.settle()

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression,
                           awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get(
                "description", details["text"]))
        return answer["result"].get("value")

    def settle(self):
        """Until what was asked for is on the screen."""
        self.evaluate("new Promise(done => requestAnimationFrame(() =>"
                      " requestAnimationFrame(() =>"
                      " requestAnimationFrame(done))))")

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def touch(self, steps):
        """Fingers set down where the first step has them, moved, and lifted."""
        for at, fingers in enumerate(steps):
            self.call("Input.dispatchTouchEvent",
                      type="touchMove" if at else "touchStart",
                      touchPoints=[{"x": x, "y": y, "id": finger} for
                                   finger, (x, y) in enumerate(fingers)])
            self.settle()
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.settle()

    def complaints(self, url):
        """Errors on the console, and requests for anything but the file."""
        found = []
        for event in self.browser.events:
            about = event.get("params", {})
            method = event["method"]
            if method == "Runtime.exceptionThrown":
                found.append(about["exceptionDetails"].get(
                    "exception", {}).get("description", "exception"))
            elif method == "Runtime.consoleAPICalled":
                if about["type"] in ("error", "warning", "assert"):
                    found.append(f"console.{about['type']}: {about['args']}")
            elif method == "Log.entryAdded":
                if about["entry"]["level"] in ("error", "warning"):
                    found.append(about["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                asked = about["request"]["url"]
                if asked != url and not asked.startswith("data:"):
                    found.append(f"asked for {asked}")
        return found

    def screenshot(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        image = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                          clip={"x": 0, "y": 0, "scale": 1,
                                "width": size["width"],
                                "height": size["height"]})
        path.write_bytes(base64.b64decode(image["data"]))

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
