"""Ansible's way into a host of the tests: the namespaces and the root of a process."""

from __future__ import annotations

import subprocess
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: nsenter
short_description: The namespaces and the root of a process
description: For the tests of this collection.
options:
  pid:
    description: The process.
    type: int
    required: true
    vars:
      - name: ansible_nsenter_pid
  remote_user:
    description: Who logs in.
    default: root
    vars:
      - name: ansible_user
"""

_ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}


class Connection(ConnectionBase):  # type: ignore[misc]
    """Commands and files by nsenter."""

    transport = "nsenter"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def close(self) -> None:
        """Nothing is open."""
        self._connected = False

    def exec_command(self, cmd: str, in_data: Any = None, sudoable: bool = True) -> Any:
        """Run it; exit code, output, error output."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        target = f"--target={self.get_option('pid')}"
        enter = ["nsenter", target, "--mount", "--pid", "--root", "--wd", "--"]
        user = self.get_option("remote_user")
        login = ["/bin/sh"] if user == "root" else ["runuser", "--login", user]
        line = [*enter, *login, "-c", cmd]
        done = subprocess.run(
            line, input=in_data or b"", capture_output=True, env=_ENVIRONMENT, check=False
        )
        if b"nsenter: " in done.stderr:
            raise AnsibleConnectionFailure(done.stderr.decode("utf-8", "replace"))
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file to the host."""
        with open(in_path, "rb") as file:
            code, _, error = self.exec_command(f"cat > '{out_path}'", file.read())
        if code:
            raise AnsibleError(error)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file from the host."""
        code, content, error = self.exec_command(f"cat '{in_path}'")
        if code:
            raise AnsibleError(error)
        with open(out_path, "wb") as file:
            file.write(content)
