"""The reasons to replace a certificate before it is due: revoked, a campaign, the CA's ARI."""
