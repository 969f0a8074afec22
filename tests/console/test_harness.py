"""The watch itself: each of the faults that it is there for is found."""

from collections.abc import Callable

import pytest

from tests.console.visitor import Visitor

#: Written into a page, by what each must be found.
FAULTS = {
    "console error: oh": "console.error('oh')",
    "page error: oh": "setTimeout(() => { throw new Error('oh') })",
    "request to another host: http://other.example/x.png": "new Image().src = 'http://other.example/x.png'",
    "request to another host: ws://other.example/": "new WebSocket('ws://other.example/')",
    "dialog: alert oh": "alert('oh')",
    "answered 500": "fetch('/broken-by-the-test').catch(() => 0)",
    "an attack ran: 7": "pwned(7)",
    "policy: ": """{
        const policy = document.createElement('meta');
        policy.httpEquiv = 'Content-Security-Policy';
        policy.content = "img-src 'none'";
        document.head.append(policy);
        new Image().src = '/x.png';
    }""",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.context.route("**/broken-by-the-test", lambda route: route.fulfill(status=500))
    visitor.context.route("**/*other.example*/**", lambda route: route.abort())
    visitor.open("/healthz")
    assert visitor.watch.faults == []
    visitor.page.evaluate(f"() => {{ {FAULTS[fault]} }}")
    visitor.watch.await_fault(visitor.page, fault)
    visitor.watch.expect("")
