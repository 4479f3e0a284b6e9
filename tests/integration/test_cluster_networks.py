"""The network of each host of a cluster: connections over it, cuts, and what a killed cluster leaves behind."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from stack.cluster.networks import Networks, _devices, remove_dead, why_not
from stack.cluster.plan import PORTS_OF_HOST, ClusterPorts

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no network namespaces: {why_not()}")
BELOW_THOSE_OF_OTHER_TESTS = range(2000, 4000, 80)
"""A network takes all connections to its ports, so these are below the ports of other tests' servers."""
LISTEN = "import socket, sys, time; one = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"
MAKE = """
import os, sys, time
from stack.cluster.networks import Networks
from stack.cluster.plan import ClusterPorts
Networks(ClusterPorts(int(sys.argv[1])), os.getpid()).create()
print("made", flush=True)
time.sleep(60)
"""
CALL = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 1)"


@pytest.fixture
def ports() -> ClusterPorts:
    return ClusterPorts(BELOW_THOSE_OF_OTHER_TESTS[os.getpid() % len(BELOW_THOSE_OF_OTHER_TESTS)])


@pytest.fixture
def networks(ports: ClusterPorts) -> Iterator[Networks]:
    made = Networks(ports, os.getpid())
    made.create()
    yield made
    made.remove()


def test_a_cut_is_silent_and_leaves_the_links_of_the_others(networks: Networks, ports: ClusterPorts) -> None:
    port = ports.of("h2").etcd
    listener = subprocess.Popen([*networks.enter("h2"), sys.executable, "-c", LISTEN, str(port)])
    try:
        deadline = time.monotonic() + 10.0
        while not _reached(port):
            assert time.monotonic() < deadline, "no listener"

        def callers() -> list[str]:
            found = [host for host in ("h1", "h3") if _reached(port, networks.enter(host))]
            return [*found, "machine"] if _reached(port) else found

        assert callers() == ["h1", "h3", "machine"]
        networks.cut([], from_hosts=["h1"])
        assert callers() == ["h3", "machine"]
        networks.cut(["h2"], from_hosts=[])
        assert callers() == []
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", port), 0.5)
        networks.cut([], from_hosts=[])
        assert callers() == ["h1", "h3", "machine"]
    finally:
        listener.kill()
        listener.wait()


def test_the_next_cluster_removes_what_a_killed_one_left_behind(ports: ClusterPorts) -> None:
    killed = subprocess.Popen([sys.executable, "-c", MAKE, str(ports.base)], stdout=subprocess.PIPE)
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"made\n"
    assert killed.pid in _devices().values()
    killed.kill()
    killed.communicate()
    remove_dead()
    assert killed.pid not in _devices().values()
    assert not Networks(ports, killed.pid).exist
    rules = subprocess.run(["ip", "rule"], capture_output=True, text=True, check=True).stdout
    assert f"dport {ports.base + PORTS_OF_HOST}" not in rules


def _reached(port: int, enter: list[str] | None = None) -> bool:
    call = [*(enter or []), sys.executable, "-c", CALL, str(port)]
    return subprocess.run(call, check=False, capture_output=True).returncode == 0
