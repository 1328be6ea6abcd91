"""A headless Chromium, spoken to in the DevTools protocol over its pipe: no driver, no library.

The protocol is JSON messages with a zero byte after each (chromium --remote-debugging-pipe).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.lab.errors import LabError
from tests.lab.process import need

#: Seconds for one answer: a page of the site is loaded and looked at in well under one.
_ANSWER_SECONDS = 60

_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nothing outside is reached, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)

#: Chromium reads from descriptor 3 and writes to descriptor 4.
_ON_ITS_PIPE = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null'


class Browser:
    """One tab. `requested` and `failed` are the addresses that it asked for since `open`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._heard = b""
        self._last_id = 0
        self._session: dict[str, str] = {}
        self.requested: list[str] = []
        self.failed: list[str] = []
        self._stages: set[tuple[str, str]] = set()  # that loads have come to: load, its stage
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Network"):
            self._call(f"{domain}.enable")
        self._call("Page.setLifecycleEventsEnabled", enabled=True)

    def open(self, address: str, stage: str = "load") -> None:
        """Load a page until `load` (all its files are there) or `networkIdle` (and for half a
        second it asked for nothing more)."""
        self.requested, self.failed = [], []
        answer = self._call("Page.navigate", url=address)
        if "errorText" in answer:
            raise LabError(f"{address}: {answer['errorText']}")
        while (answer["loaderId"], stage) not in self._stages:
            self._take(self._read())

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, a promise's when it is kept."""
        answer = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise LabError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def resize(self, width: int, height: int = 800) -> None:
        """Make the window so wide and high (CSS pixels)."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, scheme: str) -> None:
        """`light` or `dark`, as a user's system asks for."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": params, **self._session}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while True:
            answer = self._read()
            if answer.get("id") != self._last_id:
                self._take(answer)
            elif "error" in answer:
                raise LabError(f"{method}: {answer['error']['message']}")
            else:
                return dict(answer["result"])

    def _take(self, event: dict[str, Any]) -> None:
        method, params = event.get("method", ""), event.get("params", {})
        if method == "Page.lifecycleEvent":
            self._stages.add((params["loaderId"], params["name"]))
        elif method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif method == "Network.loadingFailed":
            self.failed.append(params["errorText"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + _ANSWER_SECONDS
        while b"\0" not in self._heard:
            remaining = deadline - time.monotonic()
            ready, _, _ = select.select([self._process.stdout], [], [], max(remaining, 0))
            data = os.read(self._process.stdout.fileno(), 1 << 16) if ready else b""
            if not data:
                raise LabError("Chromium does not answer")
            self._heard += data
        message, _, self._heard = self._heard.partition(b"\0")
        return dict(json.loads(message))


@contextlib.contextmanager
def start(folder: Path) -> Iterator[Browser]:
    """A browser that knows nothing yet, and keeps what it writes in the empty `folder`.

    :raises tests.lab.errors.MissingProgram: there is no Chromium
    """
    command = [need("chromium", "chromium"), *_FLAGS, f"--user-data-dir={folder}"]
    process = subprocess.Popen(
        ["sh", "-c", _ON_ITS_PIPE, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield Browser(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
