"""What counts as a good answer, through a real tunnel."""

import pytest
import trio

from healthd import oneshot
from healthd.config import parse
from healthd.demo import checkurl
from healthd.demo.fleet import Fleet, open_fleet
from healthd.engines.dialect import Engine, EngineName
from healthd.model import Outcome, Reason, Result


async def probe_once(fleet: Fleet, urls: list[str], control: str, *, ca: bool = False) -> Result:
    """Probe the fleet's first server once, as `healthd probe` does."""
    server = next(iter(fleet.servers.values()))
    config = parse(
        f"""
        [probe]
        urls = {urls}
        deadline = "4s"
        {f'ca_file = "{fleet.directory}/ca.pem"' if ca else ""}
        [self_check]
        urls = ["{control}"]
        [[nodes]]
        id = "a"
        link = "{server.link}"
        [[publish]]
        name = "users"
        directory = "/nowhere"
        """
    )
    engines = {EngineName.XRAY: Engine(fleet.xray, "")}
    [(_, result)] = await oneshot.probe(config.fleet(), config, engines, lambda: None)
    return result


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (checkurl.OK_WITH_BODY, Reason.HTTP_STATUS),
        (checkurl.REDIRECT, Reason.HTTP_STATUS),
        (checkurl.LYING_BODY, Reason.HTTP_BODY),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Reason.HTTP_PROTOCOL),
        (None, Reason.AUTH_OR_RESET),
    ],
)
async def test_bad_answer_is_the_nodes_failure(xray, answer, reason):
    """A portal's 200, redirect or body, or no HTTP at all, is a failure while our line is good."""
    with trio.fail_after(30):
        async with open_fleet(xray, ["a"], checks=2) as fleet:
            fleet.checks[0].answer = answer
            url, control = (check.url for check in fleet.checks)
            result = await probe_once(fleet, [url], control)
    assert (result.outcome, result.reason) == (Outcome.FAILURE, reason)


async def test_bad_answer_for_all_is_inconclusive(xray):
    """When the control request gets the same bad answer, the fault is the check URL's."""
    with trio.fail_after(30):
        async with open_fleet(xray, ["a"], checks=1) as fleet:
            fleet.checks[0].answer = checkurl.REDIRECT
            result = await probe_once(fleet, [fleet.checks[0].url], fleet.checks[0].url)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.CONTROL_FAILED)


@pytest.mark.parametrize("answer", [checkurl.REDIRECT, None])
async def test_second_url_rescues(xray, answer):
    """A dead or hijacked destination does not condemn the node: another operator's confirms it."""
    with trio.fail_after(30):
        async with open_fleet(xray, ["a"], checks=2) as fleet:
            fleet.checks[0].answer = answer
            urls = [check.url for check in fleet.checks]
            result = await probe_once(fleet, urls, urls[1])
    assert result.outcome is Outcome.SUCCESS


async def test_silent_first_url_leaves_time_for_the_second(xray):
    """A first check URL that never answers does not eat the deadline of the second."""
    with trio.fail_after(30):
        async with open_fleet(xray, ["a"], checks=2) as fleet:
            fleet.checks[0].delay = 30.0
            urls = [check.url for check in fleet.checks]
            result = await probe_once(fleet, urls, urls[1])
    assert result.outcome is Outcome.SUCCESS
    assert result.latency is not None
    assert result.latency < 1.5  # the second's own, not the wait for the first


async def test_https_with_an_own_ca(xray):
    """An https check URL is verified with `ca_file`, through REALITY and Vision."""
    with trio.fail_after(30):
        async with open_fleet(xray, ["a"], checks=1, https=True) as fleet:
            url = fleet.checks[0].url
            good = await probe_once(fleet, [url], url, ca=True)
            forged = await probe_once(fleet, [url], url)  # the system's CAs do not know it
    assert good.outcome is Outcome.SUCCESS
    assert forged.outcome is Outcome.INCONCLUSIVE  # for us too: nobody can be judged by it
    assert "check_tls" in forged.detail
