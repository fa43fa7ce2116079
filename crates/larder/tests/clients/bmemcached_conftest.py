"""The `conftest.py` that python-binary-memcached's tests need and its source package lacks.

The servers run already; the environment says where.
"""

import os
import socket
import time

import pytest

IPV6_PORT = int(os.environ["SUITE_IPV6_PORT"])

TLS_ADDRESS = (os.environ["MEMCACHED_HOST"], 5001)
PATIENCE_S = 60


@pytest.fixture(scope="session")
def memcached_ipv6():
    return IPV6_PORT


@pytest.fixture(scope="session")
def memcached_sasl():
    return int(os.environ["SUITE_SASL_PORT"]), os.environ["SUITE_USER"], os.environ["SUITE_PASSWORD"]


@pytest.fixture(autouse=True)
def tls_listens(request):
    """`test_tls` gives the server that it starts a tenth of a second, which is little on a busy machine."""
    if request.module.__name__ != "test_tls":
        return
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(TLS_ADDRESS).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"nothing listens on {TLS_ADDRESS}"
            time.sleep(0.01)
