"""The control request: asked afterwards, shared by failures, and never stale when it is good."""

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
import trio.testing

from healthd.engines.client import Client
from healthd.engines.tunnel import Tunnel
from healthd.probing.control import BAD_FOR, GATHER, Control
from tests.fakes import make_node


class FakeAsk:
    """Answers in turn, each after some seconds; notes when it was asked and by which account."""

    def __init__(self, *answers: bool, seconds: float = 0.003) -> None:
        self.answers = list(answers)
        self.seconds = seconds
        self.asked: list[float] = []
        self.accounts: list[str] = []

    async def __call__(self, tunnel: Tunnel) -> bool:
        """Ask once."""
        self.asked.append(trio.current_time())
        self.accounts.append(tunnel.user)
        answer = self.answers.pop(0)
        await trio.sleep(self.seconds)
        return answer


def lease(client: Client) -> Tunnel:
    """A tunnel of this client."""
    return Tunnel(1, "n0", client.password, client)


@pytest.fixture
def client() -> Client:
    """A client that never runs."""
    return Client([make_node("a")])


def control(ask: FakeAsk) -> tuple[Control, list[bool]]:
    """A control, and the answers that it told."""
    told: list[bool] = []
    return Control(ask, told.append), told


async def together(calls: Sequence[tuple[float, Callable[[], Awaitable[bool]]]]) -> list[bool]:
    """The answers of calls that begin after so many seconds each, in the order of the calls."""
    answers: dict[int, bool] = {}

    async def one(index: int, after: float, call: Callable[[], Awaitable[bool]]) -> None:
        await trio.sleep(after)
        answers[index] = await call()

    async with trio.open_nursery() as nursery:
        for index, (after, call) in enumerate(calls):
            nursery.start_soon(one, index, after, call)
    return [answers[index] for index in range(len(calls))]


async def test_good_answer_is_asked_after_the_failure(
    autojump_clock: trio.testing.MockClock, client: Client
) -> None:
    """The request leaves strictly later than the failure it is to confirm, and straight out."""
    ask = FakeAsk(True)
    asking, told = control(ask)
    failed = trio.current_time()

    assert await asking.is_good(lease(client)) is True
    assert ask.asked == [failed + GATHER]
    assert ask.accounts == ["control"]
    assert told == [True]


async def test_simultaneous_failures_share_one_request(
    autojump_clock: trio.testing.MockClock, client: Client
) -> None:
    """A hundred failures within the gathering time cost one request, told once."""
    ask = FakeAsk(True)
    asking, told = control(ask)
    answers = await together(
        [(GATHER * i / 101, lambda: asking.is_good(lease(client))) for i in range(100)]
    )

    assert answers == [True] * 100
    assert len(ask.asked) == 1
    assert told == [True]


async def test_failure_under_way_of_a_request_is_not_served_by_it(
    autojump_clock: trio.testing.MockClock, client: Client
) -> None:
    """The line may have broken since that request was asked: a later failure asks again."""
    ask = FakeAsk(True, False, seconds=1.0)
    asking, told = control(ask)
    answers = await together(
        [
            (0.0, lambda: asking.is_good(lease(client))),
            (GATHER + 0.01, lambda: asking.is_good(lease(client))),
        ]
    )

    assert answers == [True, False]
    assert ask.asked == [GATHER, pytest.approx(2 * GATHER + 0.01)]
    assert told == [True, False]


async def test_good_answer_serves_no_later_failure(
    autojump_clock: trio.testing.MockClock, client: Client
) -> None:
    """Good answers are never kept."""
    ask = FakeAsk(True, True)
    asking, _ = control(ask)
    await asking.is_good(lease(client))
    await asking.is_good(lease(client))

    assert len(ask.asked) == 2


async def test_bad_answer_serves_two_seconds(
    autojump_clock: trio.testing.MockClock, client: Client
) -> None:
    """A bad answer can only make failures inconclusive: it is kept two seconds, no longer."""
    ask = FakeAsk(False, True)
    asking, told = control(ask)

    assert await asking.is_good(lease(client)) is False
    began = trio.current_time()
    await trio.sleep(BAD_FOR - 0.01)
    assert await asking.is_good(lease(client)) is False
    assert trio.current_time() == pytest.approx(began + BAD_FOR - 0.01), "it was served at once"
    await trio.sleep(0.02)
    assert await asking.is_good(lease(client)) is True
    assert told == [False, True]


async def test_clients_do_not_answer_for_each_other(
    autojump_clock: trio.testing.MockClock, client: Client
) -> None:
    """Each client process has its own control request, and its own bad answer."""
    ask = FakeAsk(False, True)
    asking, _ = control(ask)

    assert await asking.is_good(lease(client)) is False
    assert await asking.is_good(lease(Client([make_node("a")]))) is True


@pytest.mark.parametrize("after", [GATHER / 2, GATHER + 0.5], ids=["gathering", "asking"])
async def test_cancelled_leader_does_not_strand_its_followers(
    autojump_clock: trio.testing.MockClock, client: Client, after: float
) -> None:
    """When the node of the first failure is removed, those who wait ask again, once."""
    ask = FakeAsk(*[True] * 3, seconds=1.0)
    asking, told = control(ask)
    leader = trio.CancelScope()
    answers: list[bool] = []

    async def lead() -> None:
        with leader:
            await asking.is_good(lease(client))

    async def follow() -> None:
        answers.append(await asking.is_good(lease(client)))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lead)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(5):
                nursery.start_soon(follow)
            await trio.sleep(after)
            leader.cancel()

    assert answers == [True] * 5
    assert told == [True]


async def test_cancelled_follower_disturbs_nobody(
    autojump_clock: trio.testing.MockClock, client: Client
) -> None:
    """The leader and the other followers get their answer."""
    ask = FakeAsk(True)
    asking, _ = control(ask)
    answers: list[bool] = []

    async def follow() -> None:
        answers.append(await asking.is_good(lease(client)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(GATHER / 2):
            await asking.is_good(lease(client))
        nursery.start_soon(follow)

    assert answers == [True, True]
    assert len(ask.asked) == 1
