"""What went wrong with a request, in words that quote nobody."""

import errno
import socket
import ssl

import httpx
import pytest

from healthd.http_client import words


def behind(why: BaseException, led: BaseException) -> BaseException:
    """An error that another one led to."""
    why.__cause__ = led
    return why


def unverified() -> ssl.SSLCertVerificationError:
    """As OpenSSL raises it."""
    why = ssl.SSLCertVerificationError(1, "SECRET")
    why.verify_message = "certificate has expired"
    return why


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (
            behind(httpx.ConnectError("SECRET"), socket.gaierror(-2, "Name not known")),
            "the name does not resolve: Name not known",
        ),
        (
            behind(
                httpx.ConnectError("SECRET"),
                behind(
                    OSError("all attempts to connect to SECRET failed"),
                    ExceptionGroup("SECRET", [OSError(errno.ECONNREFUSED, "SECRET refused")]),
                ),
            ),
            "Connection refused",
        ),
        (
            behind(httpx.ConnectError("SECRET"), unverified()),
            "the certificate does not verify: certificate has expired",
        ),
        (
            behind(httpx.ConnectError("SECRET"), ssl.SSLError(1, "SECRET")),
            "TLS cannot be agreed on",
        ),
        (httpx.ConnectError("SECRET"), "cannot be connected to"),
        (httpx.ReadTimeout("SECRET"), "no answer in time"),
        (httpx.ReadError("SECRET"), "the connection broke"),
        (httpx.DecodingError("SECRET"), "DecodingError"),
        (httpx.RemoteProtocolError("SECRET"), "the answer is not sound HTTP"),
    ],
)
def test_words(why, told):
    """The system's reason if there is one, else what kind of trouble it was."""
    assert words(why) == told
