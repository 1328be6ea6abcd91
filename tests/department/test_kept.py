"""The department config is read once per process, however many certificates certbot renews."""

from __future__ import annotations

import argparse

from certbot_tcs_lyon1 import preparation
from certbot_tcs_lyon1.department import reader
from certbot_tcs_lyon1.process import Process
from certbot_tcs_lyon1.report import Report
from tests.department.texts import DEPARTMENT, write


def test_a_thousand_lineages_read_it_once_and_a_change_again(tmp_path, monkeypatch):
    path = write(tmp_path / "tcs-lyon1.ini", DEPARTMENT)
    reads: list[str] = []
    really_read = reader.read
    monkeypatch.setattr(reader, "read", lambda path: reads.append(path) or really_read(path))
    process = Process(Report(print))
    config = argparse.Namespace(tcs_lyon1_config=path)
    for _ in range(1000):
        preparation.read_settings(config, process)
    assert reads == [path]
    write(tmp_path / "tcs-lyon1.ini", DEPARTMENT.replace("labo", "chimie"))
    (found,) = preparation.read_settings(config, process).departments
    assert found.name == "chimie"
    assert reads == [path, path]
