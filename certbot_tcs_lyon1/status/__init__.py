"""The command `certbot-tcs-lyon1`: facts about this machine, verdicts, and their output forms.

It runs every few minutes on machines with a thousand certificates, so neither certbot nor
cryptography, dnspython or requests is loaded where they aren't needed.
"""
