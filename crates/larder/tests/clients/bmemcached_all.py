"""All operations of python-binary-memcached: `bmemcached_all.py PORT [SOCKET]`. Any wrong answer fails."""

import random
import sys

import bmemcached

BULK_ITEMS = 3000
BULK_VALUE_BYTES = 500


def same(answer, expected):
    assert answer == expected, f"{answer!r} instead of {expected!r}"


def storage(client):
    same(client.set("a", "1"), True)
    same(client.get("a"), "1")
    same(client.get("missing"), None)
    same(client.get("missing", default="d"), "d")
    same(client.add("a", "2"), False)
    same(client.add("b", "2"), True)
    same(client.replace("b", "3"), True)
    same(client.get("b"), "3")
    same(client.replace("missing", "3"), False)
    same(client.delete("b"), True)
    same(client.delete("b"), True)  # The client takes "not found" for done.
    same(client.get("b"), None)
    for value in [b"bytes", 42, 2**40, {"a": [1, 2]}, "ünïcode", "", b"\x00\r\n\xff"]:
        same(client.set("typed", value), True)
        same(client.get("typed"), value)
    long = "text that compresses " * 10_000
    same(client.set("long", long, compress_level=9), True)
    same(client.get("long"), long)
    raw = random.Random(1).randbytes(1_000_000)
    same(client.set("raw", raw, compress_level=0), True)
    same(client.get("raw"), raw)
    key = "k" * 250
    same(client.set(key, "long key"), True)
    same(client.get(key), "long key")


def compare_and_swap(client):
    same(client.set("c", "1"), True)
    value, cas = client.gets("c")
    same(value, "1")
    assert cas
    same(client.cas("c", "2", cas), True)
    same(client.cas("c", "3", cas), False)
    same(client.get("c"), "2")
    same(client.cas("missing", "3", cas), False)
    same(client.gets("missing"), (None, None))
    value, cas = client.get("c", get_cas=True)
    same(client.delete("c", cas=cas + 1_000_000), False)
    same(client.get("c"), "2")
    same(client.delete("c", cas=cas), True)
    same(client.get("c"), None)


def arithmetic(client):
    same(client.incr("n", 5, default=10), 10)
    same(client.incr("n", 5), 15)
    same(client.decr("n", 20), 0)
    same(client.incr("n", 2**64 - 1), 2**64 - 1)
    same(client.incr("n", 2), 1)
    same(client.decr("absent", 1, default=7), 7)
    same(client.set("number", 3), True)
    same(client.incr("number", 1), 4)


def time(client):
    same(client.set("t", "x", time=1000), True)
    same(client.get("t"), "x")
    same(client.set("t", "x", time=2_592_001), True)  # A second of 1970 has passed.
    same(client.get("t"), None)


def many(client):
    items = {f"m{number}": f"value {number}" for number in range(500)}
    same(client.set_multi(items), [])
    same(client.get_multi(list(items) + ["missing"]), items)
    with_cas = client.get_multi(["m1", "m2"], get_cas=True)
    same({key: value for key, (value, _) in with_cas.items()}, {"m1": "value 1", "m2": "value 2"})
    stored = client.set_multi_cas({("m1", with_cas["m1"][1]): "new", ("m2", with_cas["m2"][1] + 10**9): "no"})
    assert stored is not None
    same(client.get_multi(["m1", "m2"]), {"m1": "new", "m2": "value 2"})
    same(client.delete_multi(["m1", "m2"]), True)
    same(client.delete_multi(["m1", "m4"]), False)
    same(client.get_multi(["m1", "m2", "m3", "m4"]), {"m3": "value 3"})


def administration(client, server):
    stats = client.stats()[server]
    assert int(stats["curr_items"]) > 0, stats
    same(int(client.stats("settings")[server]["item_size_max"]), 1024 * 1024)


def bulk(client):
    """More data than a small RAM holds, read in no order."""
    source = random.Random(2)
    items = {f"bulk:{number}": source.randbytes(BULK_VALUE_BYTES) for number in range(BULK_ITEMS)}
    same(client.set_multi(items, compress_level=0), [])
    names = list(items)
    source.shuffle(names)
    for name in names:
        same(client.get(name), items[name])
    for start in range(0, BULK_ITEMS, 100):
        asked = names[start : start + 100]
        same(client.get_multi(asked), {name: items[name] for name in asked})


def main():
    server = f"127.0.0.1:{sys.argv[1]}"
    client = bmemcached.Client((server,), socket_timeout=30)
    storage(client)
    compare_and_swap(client)
    arithmetic(client)
    time(client)
    many(client)
    administration(client, server)
    bulk(client)
    if len(sys.argv) > 2:
        over_unix = bmemcached.Client((sys.argv[2],), socket_timeout=30)
        same(over_unix.get("a"), "1")
        same(over_unix.set("over", "unix"), True)
        same(client.get("over"), "unix")
        over_unix.disconnect_all()
    ring = bmemcached.DistributedClient((server,), socket_timeout=30)
    same(ring.set("ring", "1"), True)
    same(ring.get_multi(["ring", "a"]), {"ring": "1", "a": "1"})
    same(client.flush_all(), True)
    same(client.get("a"), None)
    client.disconnect_all()
    print("python-binary-memcached is served")


main()
