"""
Check this machine's certificates and their renewal
===================================================

`certbot-tcs-lyon1` shows the state of the certificates to a person or to a monitoring system. It
does not run certbot, takes none of its locks, and orders nothing.

Commands
--------

``certbot-tcs-lyon1 status``
    show a table of the certificates

``certbot-tcs-lyon1 check``
    print verdicts for a monitoring system

``certbot-tcs-lyon1 test NAME...``
    try all that an order needs, without ordering

Options of each command
-----------------------

``--config-dir DIR``
    certbot's; by default that of cli.ini, or /etc/letsencrypt

``--work-dir DIR``
    certbot's; by default that of cli.ini, or /var/lib/letsencrypt

``--logs-dir DIR``
    certbot's; by default that of cli.ini, or /var/log/letsencrypt

``--tcs-lyon1-config FILE``
    the department config; by default tcs-lyon1.ini in the config DIR

Options of status
-----------------

``--json``
    print the facts as JSON

Options of check
----------------

By default it prints what Nagios and Icinga read: a line with performance data, then the details.

``--checkmk``
    print the lines of a Checkmk local check

``--prometheus FILE``
    write FILE for node_exporter's textfile collector

``--json``
    print facts and verdicts as JSON

``--warning PERCENT``
    warn when this part of a lifetime is left (default: 25)

``--critical PERCENT``
    be critical when this part of a lifetime is left (default: 10)

Critical are: less of a lifetime left than ``--critical``; a certificate that is not valid yet, or
revoked by the CRL that was fetched last; a lineage that certbot refuses (links, renewal conf, a key
of another certificate); a service (``serves`` in ``[install NAME]``) that serves another
certificate than the live version, or none within 5 s (30 s for all); a department config that can't
be used or is missing; a missing ACME account. Warnings are: less of a lifetime left than
``--warning``; a renewal that failed, or will fail because the department config no longer has its
department or names; a target whose lineage does not exist; a deployed file that is not the live
version, or has another owner or mode; a timer that is off, or whose service failed; no ``certbot
renew`` for two days; a disk that is full; a missing key file of ``[dns]``; a CRL that could not be
fetched for three days; a certificate that has lost clientAuth. Unknown is what this user may not
read.

Options of test
---------------

``--no-dns-update``
    publish no TXT record

It checks the department config, the room on the disk, the department of the names, the CA's
directory and the clock. Then, for each name, it publishes a TXT record with a random value at the
challenge's name, waits until every name server has it, and withdraws it; and it checks CAA (and
shows the record to ask for) and DNSSEC, by the system's resolver or, if that does not validate,
itself. Last, it checks the folders, owners and commands of ``[install NAME]``. Without a name, only
the department config is read.

Exit codes
----------

``check`` ends with 0 for right, 1 for a warning, 2 for critical, 3 for unknown. With ``--checkmk``,
and with ``--prometheus`` once FILE is written, it ends with 0 whatever it found: the verdict is in
the output. ``test`` ends with 0, or with 1 if anything is wrong.

JSON
----

``schema`` is 1; a new key does not change it, a key that is removed or redefined does. Times are
seconds since the epoch, or null if unknown; a ``fault`` is "" if there is none.

======================  ==========================================================================
``now``                 the time of the check
``folders``             ``config_dir``, ``work_dir``, ``logs_dir``, ``config`` (the file)
``lineages``            a list: ``name``, ``fault`` (why it can't be used), ``unreadable`` (the
                        folder that this user can't read, if that is the fault), ``names``,
                        ``department``, ``server``, ``issuer``, ``serial``, ``issued``, ``ends``,
                        ``renews`` (when certbot will), ``written`` (when it was saved),
                        ``authenticator``, ``installer``, ``account``, ``account_is_there``,
                        ``lost_client_auth``, ``names_crl`` (of its CA), ``revoked``, ``watched``,
                        ``crl_asked``, ``autorenew`` (of its renewal conf), ``misfit`` (why it
                        won't be renewed, by the department config or its renewal conf),
                        ``deployed`` (each ``target``, ``path``, ``fault``), ``served`` (each
                        ``target``, ``service``, ``fault``), ``failure`` (``when`` and ``cause``,
                        or null)
``departments``         a list: ``name``, ``key_id``, ``server``, ``account`` (of its next lineage,
                        or null), ``accounts`` (all that a lineage of it keeps)
``dns``                 a list: ``section``, ``servers``, ``key`` (its name)
``timer``               ``name`` ("" for none), ``enabled``, ``active``, ``masked``, ``last``,
                        ``failed`` (its service, if that failed the last time)
``last_renew``          the last run of ``certbot renew`` in certbot's logs
``config_fault``        why the department config can't be used
``keys_missing``        whether that is only missing key files of ``[dns]``
``unreadable``          folders and files that this user can't read
``full``                certbot's folders to which nothing can be written
``without_lineage``     targets whose lineage does not exist, with its name
``state``               of check: OK, WARNING, CRITICAL or UNKNOWN
``verdicts``            of check, a list: ``state``, ``about``, ``text``
======================  ==========================================================================
"""

# It runs every few minutes on machines with a thousand certificates, so certbot's modules,
# cryptography, dnspython and requests are imported only where they are needed.
