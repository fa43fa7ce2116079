"""Authentication in text with emcache: `emcache_auth.py PORT USER PASSWORD`. Any wrong answer fails."""

import asyncio
import sys

import emcache


def same(answer, expected):
    assert answer == expected, f"{answer!r} instead of {expected!r}"


async def main():
    port, user, password = sys.argv[1:]
    hosts = [emcache.MemcachedHostAddress("127.0.0.1", int(port))]
    client = await emcache.create_client(hosts, username=user, password=password)
    await client.set(b"a", b"1")
    same((await client.get(b"a")).value, b"1")
    same(await client.get(b"missing"), None)
    same(await client.increment(b"a", 2), 3)
    await client.delete(b"a")
    same(await client.get(b"a"), None)
    await client.close()

    for wrong in [(user, password + "x"), ("nobody", password), (None, None)]:
        stranger = await emcache.create_client(hosts, username=wrong[0], password=wrong[1], timeout=2.0)
        try:
            found = await stranger.get(b"a")
        except (asyncio.TimeoutError, asyncio.CancelledError, emcache.CommandError):
            pass
        else:
            raise AssertionError(f"{wrong[0]} was answered with {found}")
        await stranger.close()
    print("emcache is served")


asyncio.run(main())
