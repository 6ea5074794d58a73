"""Run a program that may open sockets of some families only, as `RestrictAddressFamilies=` has it.

Usage: python confine.py FAMILY,FAMILY… PROGRAM ARGUMENT…
"""

import ctypes
import errno
import os
import platform
import struct
import sys

_SOCKET = {"x86_64": 41, "aarch64": 198}
"""The number of socket(2)."""
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000


def step(code: int, then: int, otherwise: int, value: int) -> bytes:
    """One instruction of a classic BPF program."""
    return struct.pack("HBBI", code, then, otherwise, value)


def program(families: list[int]) -> bytes:
    """Allow everything but socket(2) of another family, which fails as systemd makes it fail."""
    asked = [step(_IF_EQUAL, len(families) - at, 0, each) for at, each in enumerate(families)]
    return b"".join(
        [
            step(_LOAD, 0, 0, 0),
            step(_IF_EQUAL, 0, len(families) + 2, _SOCKET[platform.machine()]),
            step(_LOAD, 0, 0, 16),
            *asked,
            step(_RETURN, 0, 0, _ERROR | errno.EAFNOSUPPORT),
            step(_RETURN, 0, 0, _ALLOW),
        ]
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def confine(families: list[int]) -> None:
    """Hold this process, and all it becomes, to these address families."""
    code = ctypes.create_string_buffer(program(families))
    made = _Program(len(program(families)) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SECCOMP, _FILTER, ctypes.byref(made), 0, 0)):
        if libc.prctl(*words) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    confine([int(each) for each in sys.argv[1].split(",")])
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - what this program is for
