"""nginx that serves CRLs by plain http, and misbehaves at some paths."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab import ports, process, tls

ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Web:
    """An nginx that runs; what lies in `root` it serves, whoever is asked by way of `proxy` too."""

    url: str
    https: str
    proxy: str
    root: Path
    log: Path
    ca_bundle: Path

    def put(self, name: str, data: bytes) -> str:
        """Serve `data`; its URL."""
        (self.root / name).write_bytes(data)
        return f"{self.url}/{name}"

    def passwords(self) -> set[str]:
        """What requests were authorized with, `-` for nothing."""
        return set(self.log.with_name("passwords.log").read_text("utf-8").split("\n")) - {""}

    def requests(self) -> list[str]:
        """The requests so far, each as `PATH STATUS`."""
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Web]:
    """Run nginx in `folder` until the context ends."""
    program = process.need("nginx", "nginx-light")
    root = folder / "root"
    root.mkdir(parents=True)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"  {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""
    files = tls.make(folder / "tls")
    with ports.claimed() as port, ports.claimed() as tls_port:
        config = folder / "nginx.conf"
        config.write_text(
            f"{user}pid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
            f"http {{\n  log_format short '$uri $status';\n"
            f"  log_format passwords '$http_authorization';\n{paths}"
            f"  server {{\n    listen {ADDRESS}:{port};\n    root {root};\n"
            f"    listen {ADDRESS}:{tls_port} ssl;\n    ssl_certificate {files.certificate};\n"
            f"    ssl_certificate_key {files.private_key};\n"
            f"    access_log {folder}/access.log short;\n"
            f"    access_log {folder}/passwords.log passwords;\n"
            "    location /drip { limit_rate 1; }\n"
            "    location = /reset { return 444; }\n"
            "    location = /to-file { return 302 file:///etc/passwd; }\n"
            "    location = /loop { return 302 /loop; }\n"
            "    location = /moved { return 302 /good.crl; }\n"
            "    location = /html { default_type text/html; return 200 '<html>hello</html>'; }\n"
            "  }\n}\n",
            encoding="utf-8",
        )
        base = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
        started = process.start("nginx", [*base, "-g", "daemon off;"], folder, folder / "nginx.log")
        with process.running(started):
            process.wait_ready(started, lambda: ports.listens(ports.Endpoint(ADDRESS, port)))
            url = f"http://{ADDRESS}:{port}"
            yield Web(
                url,
                f"https://localhost:{tls_port}",
                url,  # nginx answers also what is asked as for a proxy
                root,
                folder / "access.log",
                files.ca_bundle,
            )
