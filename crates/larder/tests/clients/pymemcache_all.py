"""All operations of pymemcache, over TCP: `pymemcache_all.py PORT`. Any other answer than the right one fails."""

import random
import sys

from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError

BULK_ITEMS = 3000
BULK_VALUE_BYTES = 500


def refuses(error, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except error as raised:
        return str(raised)
    raise AssertionError(f"{call.__name__}{arguments} did not raise {error.__name__}")


def same(answer, expected):
    assert answer == expected, f"{answer!r} instead of {expected!r}"


def storage(client):
    same(client.set("a", b"1"), True)
    same(client.get("a"), b"1")
    same(client.get("missing"), None)
    same(client.get("missing", b"default"), b"default")
    same(client.set("empty", b""), True)
    same(client.get("empty"), b"")
    same(client.set("flags", b"x", flags=4_294_967_295), True)
    same(client.raw_command("get flags", end_tokens="END\r\n"), b"VALUE flags 4294967295 1\r\nx\r\n")
    same(client.add("a", b"2", noreply=False), False)
    same(client.add("b", b"2", noreply=False), True)
    same(client.replace("b", b"3", noreply=False), True)
    same(client.replace("missing", b"3", noreply=False), False)
    same(client.append("b", b"4", noreply=False), True)
    same(client.prepend("b", b"2", noreply=False), True)
    same(client.get("b"), b"234")
    same(client.append("missing", b"x", noreply=False), False)
    same(client.prepend("missing", b"x", noreply=False), False)
    same(client.set("binary", bytes(range(256))), True)
    same(client.get("binary"), bytes(range(256)))
    lines = b"\r\nEND\r\nVALUE a 0 1\r\n"
    same(client.set("lines", lines), True)
    same(client.get("lines"), lines)
    large = random.Random(1).randbytes(1024 * 1024 - 1024)
    same(client.set("large", large), True)
    same(client.get("large"), large)
    assert "too large" in refuses(MemcacheServerError, client.set, "large", b"x" * (1024 * 1024 + 1))
    same(client.get("large"), None)
    same(client.get("a"), b"1")


def compare_and_swap(client):
    same(client.set("c", b"1"), True)
    value, cas = client.gets("c")
    same(value, b"1")
    same(client.cas("c", b"2", cas), True)
    same(client.cas("c", b"3", cas), False)
    same(client.cas("missing", b"3", cas), None)
    same(client.get("c"), b"2")
    same(client.gets("missing"), (None, None))
    client.set_many({"c1": b"x", "c2": b"y"})
    many = client.gets_many(["c1", "c2", "missing"])
    same({key: value for key, (value, _) in many.items()}, {"c1": b"x", "c2": b"y"})
    assert many["c1"][1] != many["c2"][1], "every change has a CAS of its own"


def arithmetic(client):
    same(client.set("n", b"10"), True)
    same(client.incr("n", 5), 15)
    same(client.decr("n", 20), 0)
    same(client.incr("missing", 1), None)
    same(client.decr("missing", 1), None)
    same(client.set("n", str(2**64 - 1).encode()), True)
    same(client.incr("n", 1), 0)
    same(client.set("n", b"word"), True)
    refuses(MemcacheClientError, client.incr, "n", 1)
    client.set("n", b"1")
    same(client.incr("n", 1, noreply=True), None)
    same(client.decr("n", 2, noreply=True), None)
    same(client.get("n"), b"0")


def time(client):
    same(client.set("t", b"x", expire=100), True)
    same(client.touch("t", 200, noreply=False), True)
    same(client.touch("missing", 200, noreply=False), False)
    same(client.get("t"), b"x")
    same(client.gat("t", 300) if hasattr(client, "gat") else b"x", b"x")
    same(client.set("t", b"x", expire=-1), True)
    same(client.get("t"), None)


def many(client):
    same(client.set_many({f"m{number}": str(number).encode() for number in range(100)}, noreply=False), [])
    keys = [f"m{number}" for number in range(0, 200, 2)]
    same(client.get_many(keys), {f"m{number}": str(number).encode() for number in range(0, 100, 2)})
    same(client.delete("m0", noreply=False), True)
    same(client.delete("m0", noreply=False), False)
    same(client.delete_many(["m1", "m2"], noreply=False), True)
    same(client.get_many(["m0", "m1", "m2", "m3"]), {"m3": b"3"})
    keys = [f"{number:0>30}" for number in range(18_000)]
    client.set_many({key: b"v" for key in keys[::100]}, noreply=False)
    same(len(client.get_many(keys)), 180)


def silent(client):
    client.set("q", b"1", noreply=True)
    client.add("q", b"2", noreply=True)
    client.replace("q", b"3", noreply=True)
    client.append("q", b"4", noreply=True)
    client.prepend("q", b"2", noreply=True)
    client.touch("q", 100, noreply=True)
    client.delete("missing", noreply=True)
    same(client.get("q"), b"234")
    _, cas = client.gets("q")
    client.cas("q", b"5", cas, noreply=True)
    same(client.get("q"), b"5")
    client.set_many({"q1": b"1", "q2": b"2"}, noreply=True)
    client.delete_many(["q1", "q2"], noreply=True)
    same(client.get_many(["q1", "q2"]), {})


def administration(client):
    assert client.version()[0:1].isdigit()
    stats = client.stats()
    assert stats[b"curr_items"] > 0 and stats[b"pid"] > 0 and b"cmd_get" in stats
    assert client.stats("settings")[b"item_size_max"] == 1024 * 1024
    same(client.raw_command("mn"), b"MN")
    same(client.raw_command("ms meta 2 T0 F5\r\nok"), b"HD")
    same(client.raw_command("mg meta v f"), b"VA 2 f5")


def keys(port):
    client = Client(("127.0.0.1", port), key_prefix=b"prefix:", allow_unicode_keys=True)
    same(client.set("schlüssel", b"1"), True)
    same(client.get("schlüssel"), b"1")
    same(client.get_many(["schlüssel", "none"]), {"schlüssel": b"1"})
    same(Client(("127.0.0.1", port)).get("prefix:schlüssel".encode()), b"1")
    longest = "k" * (250 - len("prefix:"))
    same(client.set(longest, b"long"), True)
    same(client.get(longest), b"long")


def wrappers(port):
    pool = PooledClient(("127.0.0.1", port), max_pool_size=4)
    same(pool.set("pooled", b"1"), True)
    same(pool.incr("pooled", 1), 2)
    pool.close()
    ring = HashClient([("127.0.0.1", port)], use_pooling=True)
    same(ring.set_many({"h1": b"1", "h2": b"2"}), [])
    same(ring.get_many(["h1", "h2", "h3"]), {"h1": b"1", "h2": b"2"})
    same(ring.get("pooled"), b"2")
    same(ring.delete_many(["h1", "h2"]), True)
    ring.close()


def bulk(client):
    """More data than a small RAM holds, read in no order."""
    source = random.Random(2)
    items = {f"bulk:{number}": source.randbytes(BULK_VALUE_BYTES) for number in range(BULK_ITEMS)}
    same(client.set_many(items, noreply=False), [])
    names = list(items)
    source.shuffle(names)
    for name in names:
        same(client.get(name), items[name])
    for start in range(0, BULK_ITEMS, 100):
        asked = names[start : start + 100]
        same(client.get_many(asked), {name: items[name] for name in asked})


def main():
    port = int(sys.argv[1])
    client = Client(("127.0.0.1", port), default_noreply=False, timeout=30)
    storage(client)
    compare_and_swap(client)
    arithmetic(client)
    time(client)
    many(client)
    silent(client)
    administration(client)
    keys(port)
    wrappers(port)
    bulk(client)
    same(client.flush_all(noreply=False), True)
    same(client.get("a"), None)
    client.quit()
    print("pymemcache is served")


main()
