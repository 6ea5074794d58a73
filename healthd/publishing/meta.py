"""meta.json: what a generation is and what it is made of. Pure.

Documents in a user's folder appear in sums only: the folder's name is that user's secret.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

META = "meta.json"


def meta_of(
    documents: Mapping[str, bytes],
    generation: int,
    modified: int,
    *,
    nodes: Sequence[str],
    about: Mapping[str, Any],
    removals: Sequence[float],
) -> bytes:
    """The text of meta.json.

    Args:
        documents: Names and their bytes.
        generation: Its number.
        modified: Wall-clock seconds.
        nodes: Ids of the nodes in it, in order.
        about: More keys.
        removals: Wall-clock seconds of removals.
    """
    generated = datetime.fromtimestamp(modified, UTC)
    common = {name: content for name, content in documents.items() if "/" not in name}
    in_folders = {name: content for name, content in documents.items() if "/" in name}
    meta = {
        "generation": generation,
        "generated_at": generated.isoformat().replace("+00:00", "Z"),
        **about,
        "removals": [round(at, 3) for at in removals],
        "nodes": list(nodes),
        "files": {
            name: {"sha256": _digest(content), "bytes": len(content)}
            for name, content in common.items()
        },
        **({"folders": sums_of(in_folders)} if in_folders else {}),
    }
    return json.dumps(meta, indent=2, ensure_ascii=False).encode() + b"\n"


def sums_of(documents: Mapping[str, bytes]) -> dict[str, int | str]:
    """What meta.json tells of documents in folders.

    ``sha256`` is that of their own, in hex, sorted, end to end: names have no part in it.
    """
    digests = sorted(_digest(content) for content in documents.values())
    return {
        "folders": len({name.partition("/")[0] for name in documents}),
        "files": len(documents),
        "bytes": sum(map(len, documents.values())),
        "sha256": _digest("".join(digests).encode()),
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
