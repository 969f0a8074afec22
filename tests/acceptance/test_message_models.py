"""The models as Anthropic's official SDK lists them, from a running stack."""

from collections.abc import Iterator

import anthropic
import pytest

from tests.acceptance.stack import Account
from tests.acceptance.test_messages import client


@pytest.fixture
def claude(account: Account) -> Iterator[anthropic.Anthropic]:
    with client(account) as made:
        yield made


def test_models_are_listed_as_its_client_reads_them(account: Account, claude: anthropic.Anthropic) -> None:
    """The same address is the native list for everybody else."""
    native = [one["id"] for one in account.live.get("/models").json()["data"] if one["type"] == "chat.completion"]
    assert [one.id for one in claude.models.list(limit=7)] == native and len(native) > 14
    assert [one.id for one in claude.beta.models.list(limit=1000)] == native
    page = claude.models.list(limit=3, after_id=native[2])
    assert [one.id for one in page.data] == native[3:6] and page.has_more
    before = claude.models.list(limit=3, before_id=native[4])
    assert [one.id for one in before.data] == native[1:4] and before.has_more
    assert [one.id for one in before.get_next_page().data] == native[:1]
    assert claude.models.list(lifecycle=["retired"]).data == []
    one = claude.models.retrieve("claude-3-opus")
    assert (one.type, one.id, one.lifecycle, one.max_tokens, one.max_input_tokens) == (
        "model",
        "claude-3-opus",
        "active",
        4096,
        1_000_000,
    )
    assert one.created_at.year > 2000
    with client(account, api_key=None, auth_token=account.test_key) as bearer:
        assert bearer.models.retrieve("deepinfra.deepseek-r1").id
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("text-embedding-3-large")
    for wrong in ({"limit": "0"}, {"limit": "1001"}, {"after_id": "nothing"}, {"after": "x"}):
        with pytest.raises(anthropic.BadRequestError):
            claude.models.list(extra_query=wrong)
    with client(account, api_key="wrong") as stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.models.list()
