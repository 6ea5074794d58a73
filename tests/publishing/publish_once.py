"""A publisher that is there to be killed: a daemon's way to a new generation, between two marks.

It is run by path, by a bare interpreter, so that its system calls depend on nothing that happens to
be installed. The marks are looks at paths that do not exist, to be found again in a record of these
calls. It ends with 0 when it published and with 3 when it could not; a bug is a traceback and 1.
"""

import base64
import json
import os
import sys
from pathlib import Path

BEGIN, END = "/publishing-begins-here", "/publishing-ends-here"
PUBLISHED, FAILED = 0, 3

if __name__ == "__main__":
    root, public, documents = sys.argv[1:]
    sys.path.append(root)
    from healthd.publishing.directory import PublicationDirectory

    directory = PublicationDirectory(Path(public))
    content = {name: base64.b64decode(text) for name, text in json.loads(documents).items()}
    os.access(BEGIN, os.F_OK)
    try:
        directory.prepare()
        directory.sweep()
        directory.publish(content, nodes=["a"], about={"publication": "main"}, now=1e9)
    except OSError:
        sys.exit(FAILED)
    os.access(END, os.F_OK)
