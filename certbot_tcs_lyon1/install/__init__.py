"""Deploying certificates: writing them where the services of `[install NAME]` read them."""
