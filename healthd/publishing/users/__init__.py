"""Users with files of their own: each gets his nodes, with his credentials, under his token. Pure.

The common files, which hold the credentials that probes use, are not published then.
"""

from healthd.publishing.users.credentials import allowed, credentials, endpoint_for, nodes_for
from healthd.publishing.users.parsing import User, parse, tags_of
from healthd.publishing.users.rendering import Users, floor_for, user_files

__all__ = [
    "User",
    "Users",
    "allowed",
    "credentials",
    "endpoint_for",
    "floor_for",
    "nodes_for",
    "parse",
    "tags_of",
    "user_files",
]
