"""
Whether this machine's certificates are right, and will stay so
===============================================================

`certbot-tcs-lyon1` looks, for a person and for a monitoring. It doesn't run certbot, takes none
of its locks and orders nothing.

Commands
--------

``certbot-tcs-lyon1 status``
    a table for a person

``certbot-tcs-lyon1 check``
    the same, judged for a monitoring

``certbot-tcs-lyon1 test NAME...``
    all that an order needs, but the order

Options of each command
-----------------------

``--config-dir DIR``
    certbot's, as in cli.ini; else /etc/letsencrypt

``--work-dir DIR``
    certbot's, as in cli.ini; else /var/lib/letsencrypt

``--logs-dir DIR``
    certbot's, as in cli.ini; else /var/log/letsencrypt

``--tcs-lyon1-config FILE``
    the department config; else tcs-lyon1.ini in DIR

Options of status
-----------------

``--json``
    the same facts as JSON

Options of check
----------------

Without one it prints what Nagios and Icinga read: one line with performance data, then the details.

``--checkmk``
    lines of a Checkmk local check

``--prometheus FILE``
    write FILE for node_exporter

``--json``
    facts and verdicts as JSON

``--warning PERCENT``
    of a lifetime that is left, 25 without it

``--critical PERCENT``
    of a lifetime that is left, 10 without it

Critical are: so little that is left of a lifetime, a certificate that is not valid yet, a
revocation by the CRL that was kept, a lineage that certbot refuses (links, renewal conf, a key
that is another's), a service (``serves`` in ``[install NAME]``) that gives another certificate
than the live version, or none within 5 s (30 s for all), a department config that can't be used
or is gone, an ACME account that is gone. Warnings are: a renewal that failed, or will, for the
department config has its department or names no more; a target whose certificate certbot has not;
a deployed file that is not the live version, or has another owner or mode; a timer that is off, a
service of it that failed, no ``certbot renew`` for two days, no room for certbot to write, a key
file of ``[dns]`` that is not there, a CRL not seen for three days, a certificate that has lost
clientAuth. What this user may not read is unknown.

Options of test
---------------

``--no-dns-update``
    put no TXT record

For each name a TXT record of a random value is put at the challenge's name, seen on every name
server, and withdrawn; before it the department config, the room on the disk, the department of all
names, the CA's directory and the clock are looked at, and after it CAA, with the record to ask for,
DNSSEC as the system's resolver sees it, verified here where that one doesn't, and the folders,
owners and commands of ``[install NAME]``. Without a name the department config alone is read.

Exit codes
----------

``check`` ends with 0 for right, 1 for a warning, 2 for critical, 3 for unknown. With ``--checkmk``,
and with ``--prometheus`` once FILE is written, it ends with 0 whatever it found: the verdict is in
the output. ``test`` ends with 0, or with 1 if anything is wrong.

JSON
----

``schema`` is 1; a key that is new does not change it, one that goes or means another thing
does. Times are seconds of the epoch, and null where nothing is known; a ``fault`` is "" where there
is none.

======================  ==========================================================================
``now``                 when it was looked
``folders``             ``config_dir``, ``work_dir``, ``logs_dir``, ``config`` (the file)
``lineages``            a list: ``name``, ``fault`` (why it can't be used), ``names``,
                        ``department``, ``server``, ``issuer``, ``serial``, ``issued``, ``ends``,
                        ``renews`` (when certbot will), ``written`` (when it came here),
                        ``authenticator``, ``installer``, ``account``, ``account_is_there``,
                        ``lost_client_auth``, ``names_crl`` (of its CA), ``revoked``, ``watched``,
                        ``crl_asked``, ``misfit`` (why it won't be renewed, by the department
                        config or its renewal conf), ``deployed`` (each ``target``, ``path``,
                        ``fault``), ``served`` (each ``target``, ``service``, ``fault``),
                        ``failure`` (``when`` and ``cause``, or null)
``departments``         a list: ``name``, ``key_id``, ``server``, ``account`` (of its next lineage,
                        or null), ``accounts`` (all that a lineage of it keeps)
``dns``                 a list: ``section``, ``servers``, ``key`` (its name)
``timer``               ``name`` ("" for none), ``enabled``, ``active``, ``masked``, ``last``,
                        ``failed`` (the service of it, if that failed when it ran last)
``last_renew``          the last run of ``certbot renew`` in certbot's logs
``config_fault``        why the department config can't be used
``keys_missing``        whether that is only files of keys for the DNS
``unreadable``          folders and files that this user can't read
``full``                folders of certbot's that it can't write to any more
``without_lineage``     targets with the certificate that they name, and certbot has not
``state``               of check: OK, WARNING, CRITICAL or UNKNOWN
``verdicts``            of check, a list: ``state``, ``about``, ``text``
======================  ==========================================================================
"""

# It runs every few minutes on machines with a thousand certificates, so neither certbot's
# modules nor cryptography, dnspython or requests are loaded where they aren't needed.
