"""The department config is read once per process, however many certificates certbot renews."""

from __future__ import annotations

import pytest

from certbot_tcs_lyon1.department import reader
from certbot_tcs_lyon1.plugin import Plugin
from certbot_tcs_lyon1.process import Process
from certbot_tcs_lyon1.report import Report
from tests.department.test_reader import DEPARTMENT, write


def test_a_thousand_lineages_read_it_once_and_a_change_again(tmp_path, monkeypatch):
    path = write(tmp_path / "tcs-lyon1.ini", DEPARTMENT)
    reads: list[str] = []
    really_read = reader.read
    monkeypatch.setattr(reader, "read", lambda path: reads.append(path) or really_read(path))
    monkeypatch.setattr(Plugin, "process", Process(Report(print)))
    monkeypatch.setattr(Plugin, "_config_path", lambda self: path)
    configuration = pytest.importorskip("certbot.configuration", reason="certbot before 1.18")
    config = configuration.NamespaceConfig.__new__(configuration.NamespaceConfig)
    for _ in range(1000):
        Plugin(config, "tcs-lyon1")._read_settings()
    assert reads == [path]
    write(tmp_path / "tcs-lyon1.ini", DEPARTMENT.replace("labo", "chimie"))
    (found,) = Plugin(config, "tcs-lyon1")._read_settings().departments
    assert found.name == "chimie"
    assert reads == [path, path]
