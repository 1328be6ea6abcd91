"""The `.deb` on Debian 11, 12 and 13, with the certbot of each: `make distros`."""
