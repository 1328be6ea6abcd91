"""The Ansible collection, on Debian systems and on a fleet of light hosts: `make fleet`."""
