"""Configurations, one experiment per file: `get_config()` sets only what differs."""
