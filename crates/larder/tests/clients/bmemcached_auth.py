"""SASL with python-binary-memcached: `bmemcached_auth.py PORT USER PASSWORD`. Any wrong answer fails."""

import sys

import bmemcached


def same(answer, expected):
    assert answer == expected, f"{answer!r} instead of {expected!r}"


def main():
    port, user, password = sys.argv[1:]
    server = f"127.0.0.1:{port}"
    client = bmemcached.Client(server, username=user, password=password)
    same(client.set("a", "1"), True)
    same(client.get("a"), "1")
    same(client.incr("n", 1), 0)
    same(client.incr("n", 2), 2)
    same(client.delete("a"), True)
    client.disconnect_all()

    for wrong in [(user, password + "x"), ("nobody", password)]:
        stranger = bmemcached.Client(server, username=wrong[0], password=wrong[1])
        try:
            stranger.get("n")
        except bmemcached.exceptions.MemcachedException as error:
            same(error.code, 0x20)
        else:
            raise AssertionError(f"{wrong[0]} was let in")
        stranger.disconnect_all()
    print("python-binary-memcached is served")


main()
