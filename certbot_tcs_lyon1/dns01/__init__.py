"""The DNS wing: answers DNS-01 challenges with RFC 2136 updates; it can be used without certbot."""
