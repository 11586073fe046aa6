"""Retention: rows that nobody asks for any more are removed, so that every table stays bounded."""
