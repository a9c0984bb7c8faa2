"""One experiment a file: `get_config()` returns what differs from the defaults."""
