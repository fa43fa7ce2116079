"""pymemcache with a certificate and a password: `pymemcache_guarded.py PORT AUTHORITY.pem CLIENT.pem CLIENT.key USER PASSWORD`.

Any wrong answer fails.
"""

import random
import ssl
import sys

from pymemcache.client.base import Client, PooledClient
from pymemcache.exceptions import MemcacheClientError, MemcacheUnexpectedCloseError


def same(answer, expected):
    assert answer == expected, f"{answer!r} instead of {expected!r}"


def known(user, password):
    """A class of clients that say this password on every new connection."""

    class Known(Client):
        def _connect(self):
            super()._connect()
            self.set("auth", f"{user} {password}", noreply=False)

    return Known


def main():
    port, authority, certificate, key, user, password = sys.argv[1:]
    address = ("127.0.0.1", int(port))
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(certificate, key)
    options = {"tls_context": context, "default_noreply": False, "timeout": 30}

    client = known(user, password)(address, **options)
    same(client.set("a", b"1"), True)
    same(client.get("a"), b"1")
    same(client.get("auth"), None)
    large = random.Random(1).randbytes(1_000_000)
    same(client.set("large", large), True)
    pool = PooledClient(address, max_pool_size=4, **options)
    pool.client_class = known(user, password)
    same(pool.get("large"), large)
    pool.close()
    client.quit()

    for kind, words in [
        (Client, b"unauthenticated"),
        (known(user, password + "x"), b"authentication failure"),
        (known("nobody", password), b"authentication failure"),
    ]:
        try:
            kind(address, **options).get("a")
        except MemcacheClientError as error:
            same(error.args, (words,))
        else:
            raise AssertionError("a client without the right password was answered")
    options["tls_context"] = ssl.create_default_context(cafile=authority)
    try:
        known(user, password)(address, **options).get("a")
    except (OSError, MemcacheUnexpectedCloseError):  # Which one depends on how the connection ends.
        pass
    else:
        raise AssertionError("a client without a certificate was answered")
    print("pymemcache is served")


main()
