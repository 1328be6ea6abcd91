"""Run a command, and print as JSON how it ended, its seconds (by the clock, and of work by it and
its children), and its peak of resident memory.

A script for `python -I -S`: the kernel counts the memory of whoever starts a process into the
process's peak, so that has to be someone small.
"""

import json
import os
import sys
import time

if __name__ == "__main__":
    started = time.monotonic()
    pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - started
    code = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    found = {"code": code, "seconds": seconds, "cpu": cpu, "peak_kib": usage.ru_maxrss}
    print(json.dumps(found))
