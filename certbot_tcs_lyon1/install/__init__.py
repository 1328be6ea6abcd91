"""The installer wing: puts a certificate where the services of `[install NAME]` want it."""
