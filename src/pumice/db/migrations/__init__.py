"""The migrations: `versions/NNNN_words.py`, in a line from an empty database; run by `pumice.db.upgrade`.

HEAD names the last one, so that a start on an up-to-date database costs one SELECT and does not load Alembic.
"""

HEAD = "0003"
"""The revision that this program works with; a test holds it equal with the last file of `versions`."""
