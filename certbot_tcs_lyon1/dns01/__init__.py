"""Answering DNS-01 challenges (RFC 8555 §8.4) by DNS UPDATE (RFC 2136); usable without certbot."""
