"""What people do in the console while the web process dies: nothing is changed without its entry in the audit log."""

import contextlib
import re

import httpx

from tests.harness import Account, Stack, chat

_ENTRIES = "SELECT operator FROM audit_log WHERE action = 'console.jobs.cancel' AND subject_id = :id"


def cancelled_in_the_console(stack: Stack, account: Account, mark: str) -> None:
    """A queued job is cancelled on its page, and the press of the button is not answered: it is pressed again."""
    stack.take_down("worker")
    (id,) = stack.submit(account, [chat(mark)])
    with contextlib.suppress(httpx.TransportError):
        _press_cancel(stack, account, id)
    stack.until(lambda: stack.hit("web"), what="the kill")
    assert (stack.job(id).status == "cancelled") == bool(stack.rows(_ENTRIES, id=id))
    stack.ready()
    _press_cancel(stack, account, id)
    assert stack.job(id).status == "cancelled" and len(stack.rows(_ENTRIES, id=id)) == 1
    stack.start("worker")


def _press_cancel(stack: Stack, account: Account, id: str) -> None:
    url = stack.url("web")
    with httpx.Client(base_url=url, headers={"origin": url}, timeout=30, trust_env=False) as browser:
        assert browser.post("/console/sign-in", data={"key": account.live_key}).status_code == 303
        found = re.search(r'name="csrf" value="([^"]+)"', browser.get(f"/console/jobs/{id}").text)
        assert found is not None
        assert browser.post(f"/console/jobs/{id}/cancel", data={"csrf": found[1]}).status_code == 303
