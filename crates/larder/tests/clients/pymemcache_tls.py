"""pymemcache over TLS: `pymemcache_tls.py PORT AUTHORITY.pem`. Any wrong answer fails."""

import random
import ssl
import sys

from pymemcache.client.base import Client, PooledClient


def same(answer, expected):
    assert answer == expected, f"{answer!r} instead of {expected!r}"


def main():
    address = ("127.0.0.1", int(sys.argv[1]))
    context = ssl.create_default_context(cafile=sys.argv[2])
    client = Client(address, tls_context=context, default_noreply=False, timeout=30)
    same(client.set("a", b"1"), True)
    same(client.get("a"), b"1")
    same(client.incr("a", 2), 3)
    same(client.delete("a"), True)
    source = random.Random(1)
    items = {f"key:{number}": source.randbytes(2000) for number in range(1000)}
    same(client.set_many(items), [])
    same(client.get_many(list(items)), items)
    large = source.randbytes(1_000_000)
    same(client.set("large", large), True)
    same(client.get("large"), large)
    pool = PooledClient(address, tls_context=context, max_pool_size=4)
    same(pool.get("large"), large)
    pool.close()
    client.quit()

    for strange in [Client(address, timeout=30), Client(address, tls_context=ssl.create_default_context(), timeout=30)]:
        try:
            strange.get("a")
        except Exception:  # Which one depends on how the connection ends.
            continue
        raise AssertionError("a client without the right TLS was answered")
    print("pymemcache is served")


main()
