"""A laboratory of real parts on loopback: Pebble (ACME), BIND primary and secondary, certbot.

    from tests.lab.lab import start

    with start(folder) as lab:
        lab.write_department_config()
        result = lab.certbot("certonly", "-n", "-a", "tcs-lyon1", "-d", "www.labo.univ-lyon1.test")
        assert result.returncode == 0, result.output
        assert lab.client.certificate("www.labo.univ-lyon1.test").names == (...)

Pebble demands external account binding and asks the *secondary*, which learns of a change by NOTIFY
and transfer: publishing without waiting for it fails. Everything is under `folder`, on ports chosen
at run time, and is gone when the context ends, or when the Python process does, however it ends.

`python -m tests.lab [FOLDER]` starts a lab to play with.

- `lab`: the whole (`start`, `Lab`); `pebble`, `bind`, `certbot`: the parts, each usable alone.
- `zones`: zones, keys and rights as data, and the default ones.
- `process`, `ports`, `tls`: what every server needs.
- `namespace`: run a command in a network of its own, where the servers can have port 53.
- `require`: skip a test that cannot run here, or fail it on CI.

From Debian: pebble, bind9, iproute2 (`namespace` only).
"""
