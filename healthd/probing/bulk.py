"""The bulk check: does a node carry more than a few bytes?

Censors let a 204 pass and freeze or cut the connection after some 16 KB. So now and then a larger
answer is fetched as well, behind the small one. What is held against the node is a cut only: the
server had begun to talk, then the connection ended early or fell silent, while the same URL, asked
past the node afterwards, came whole.

Everything else is no proof against a node. A status other than 200, a certificate that does not
verify, or an answer that is complete but short is the server's word, or its operator's mistake. A
connection on which nothing at all came may be a server that does not like the node's address.
"""

from collections.abc import Callable

import httpx
import trio

from healthd.engines.tunnel import Tunnel
from healthd.errors import TunnelError
from healthd.model import Reason
from healthd.probing.answer import host_of
from healthd.probing.control import OURS, Control

ASIDE = 30.0
"""Seconds that a bad bulk server is left alone, lest each probe waits for it in vain."""


class Pull:
    """One fetch of the bulk URL, and how far it got.

    Args:
        most: The bytes of body that are wanted.
        ends: Monotonic seconds at which it is given up.
    """

    def __init__(self, most: int, ends: float) -> None:
        self._most = most
        self._ends = ends
        self._began = self._heard_at = trio.current_time()
        self._heard = False
        self.got = 0
        """Bytes of body that came."""
        self.oddity = ""
        """What the server said instead, in words."""
        self.error: TunnelError | None = None
        """How the connection ended early; None: it did not."""

    @property
    def whole(self) -> bool:
        """Whether all that was wanted came."""
        return self.got >= self._most

    @property
    def ours(self) -> TunnelError | None:
        """What failed on this machine, if that is what ended it."""
        return self.error if self.error is not None and self.error.reason in OURS else None

    def hear(self, received: int) -> None:
        """Note that so many bytes arrived, of whatever layer."""
        if received:
            self._heard = True
            self._heard_at = trio.current_time()

    async def read(self, answer: httpx.Response) -> None:
        """Read the answer as far as it is wanted.

        Raises:
            TunnelError: it ended early.
        """
        if answer.status_code != httpx.codes.OK:
            self.oddity = f"answered {answer.status_code}"
            return
        async for chunk in answer.aiter_raw():
            self.got += len(chunk)
        if self.whole:
            return
        # Where nothing but the end of the connection ends an answer, that may be a cut.
        if not {"content-length", "transfer-encoding"} & answer.headers.keys():
            raise TunnelError(Reason.HTTP_PROTOCOL, "closed within its answer")
        self.oddity = f"has {self.got} bytes only; {self._most} are wanted"

    def proves_a_cut(self, deadline: float) -> bool:
        """Whether the connection was cut under an answer; ``deadline``: seconds of a whole probe.

        One that began late in its probe and was not over in time proves nothing.
        """
        if self.whole or self.oddity or not self._heard:
            return False
        return self.error is not None or self._ends - self._began >= deadline / 2

    @property
    def words(self) -> str:
        """How far it got, and what came then."""
        if self.oddity:
            return self.oddity
        far = f"{self.got} of {self._most} bytes"
        if self.error is not None:
            return f"{far}, then {self.error.detail or self.error.reason}"
        took, silent = self._ends - self._began, self._ends - self._heard_at
        return f"{far}, then silence" if silent > took / 4 else f"{far} in {took:.1f} s"


class Bulk:
    """The bulk URL, and what is known of its server.

    Args:
        http: Sends through the tunnel that a request names.
        url: The bulk URL.
        most: Bytes to fetch; more are not read.
        limit: Seconds for a fetch past the nodes.
        on_server: Told whether the server is fit for the check, at first and when that changes,
            with what is wrong in words.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        most: int,
        *,
        limit: float,
        on_server: Callable[[bool, str], None],
    ) -> None:
        self._http = http
        self._url = url
        self._most = most
        self._limit = limit
        self._on_server = on_server
        self._server = Control(self._ask_past)
        self._told: bool | None = None
        self._wrong = ""
        self._aside_until = float("-inf")

    @property
    def usable(self) -> bool:
        """Whether it makes sense to ask: the server is not known to be bad."""
        return trio.current_time() >= self._aside_until

    def pull(self, ends: float) -> Pull:
        """A fetch yet to be made, which the caller gives up at ``ends`` (monotonic seconds)."""
        return Pull(self._most, ends)

    async def fetch(self, tunnel: Tunnel, pull: Pull) -> None:
        """Fetch until the end or until cancelled; ``pull`` tells at any time how far it got."""
        request = self._http.build_request(
            "GET",
            self._url,
            headers={"Accept-Encoding": "identity"},
            extensions={"tunnel": tunnel, "max_body": self._most, "on_received": pull.hear},
        )
        try:
            answer = await self._http.send(request, stream=True)
            try:
                await pull.read(answer)
            finally:
                await answer.aclose()
        except TunnelError as why:
            pull.error = why
            if why.reason is Reason.CHECK_TLS and not pull.got:
                pull.oddity = why.detail
        if pull.whole:
            self._tell(True, "")

    async def server_is_good(self, tunnel: Tunnel) -> bool:
        """Whether the bulk URL comes whole past this tunnel's node, asked after this call began."""
        return await self._server.is_good(tunnel)

    def blame_server(self) -> None:
        """Leave the server alone for a while: our own line is good, and yet it did not deliver."""
        self._aside_until = trio.current_time() + ASIDE
        self._tell(False, f"{host_of(httpx.URL(self._url))}: {self._wrong}")

    async def _ask_past(self, control: Tunnel) -> bool | None:
        with trio.move_on_after(self._limit) as scope:
            pull = self.pull(scope.deadline)
            await self.fetch(control, pull)
        self._wrong = pull.words
        return None if pull.ours else pull.whole

    def _tell(self, ok: bool, words: str) -> None:
        if ok is not self._told:
            self._told = ok
            self._on_server(ok, words)
