import asyncio, httpx, time, pytest
from tests.chaos.test_crowds import *
from tests.chaos.conftest import stacks
from tests.conftest import *
@pytest.mark.timeout(150)
def test_x(stack):
    account = stack.open_account(10000000)
    urls = [stack.url(n)+"/v1/jobs" for n in ("web","web2")]
    errors=[]
    async def scene():
        room = asyncio.Semaphore(64)
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64, keepalive_expiry=2)
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {account.live_key}"}, timeout=60, trust_env=False, limits=limits) as client:
            async def post(at):
                async with room:
                    t=time.monotonic()
                    try:
                        r= await client.post(urls[at%2], json=chat(f"{at%1000}"), headers={"Idempotency-Key":f"key {at%1000}"})
                        return r.status_code
                    except httpx.TransportError as e:
                        errors.append((at, repr(e), repr(e.__cause__.__cause__.__cause__ if e.__cause__ and e.__cause__.__cause__ else e.__cause__), round(time.monotonic()-t,3), [p.popen.poll() for p in stack.processes.values()]))
            t=time.monotonic()
            r=await asyncio.gather(*(post(at) for at in range(12000)))
            print(Counter(r), time.monotonic()-t)
    asyncio.run(scene())
    print(errors[:20], len(errors))
    print(stack.state())
