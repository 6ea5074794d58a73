"""Shell scripts that answer as engines do."""

XRAY = "#!/bin/sh\necho 'Xray 26.3.27 (Xray, Penetrates Everything.) test'\n"
SING_BOX = """#!/bin/sh
echo 'sing-box version 1.14.4

Environment: go1.27.3 linux/amd64
Tags: with_quic,with_utls
Revision: c005f353'
"""


def make_script(path, text=XRAY):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path
