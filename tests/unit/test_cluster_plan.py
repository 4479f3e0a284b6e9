"""Plan, configuration and commands of `vitalflow cluster`, without servers.

No test starts a cluster: a failover takes 40 s, and Patroni and etcd are not among the packages of the test machines.
`vitalflow bench ha` starts one and counts what each fault costs.
"""

import json
from pathlib import Path

import pytest

from stack.cluster import conditions
from stack.cluster.conditions import PRESENT, Condition
from stack.cluster.configuration import FOR_ALL_HOSTS, DatabaseHost, Passwords, etcd, haproxy, patroni
from stack.cluster.plan import FULL_HOSTS, PROCESSES, ClusterPorts, host_services, process_name
from vitals.errors import PermanentError

PORTS = ClusterPorts(23883)
HOSTS = [DatabaseHost(host, f"/srv/{host}", PORTS.of(host).own_database, PORTS.of(host).patroni) for host in FULL_HOSTS]


def test_no_two_servers_share_a_port() -> None:
    assert len(set(PORTS.every)) == len(PORTS.every)
    assert max(PORTS.every) < 32768


def test_each_service_uses_the_common_address_and_has_a_standby_on_the_other_host() -> None:
    for host in FULL_HOSTS:
        ports = PORTS.of(host)
        assert (ports.broker, ports.database) == (PORTS.broker, PORTS.database)
        specs = {spec.name: spec for spec in host_services(ports, host)}
        assert set(specs) == {process_name(name, host) for name in ("alerts", "ingest", "station")}
        assert specs[f"ingest-{host}"].arguments[-1] == specs[f"alerts-{host}"].arguments[-1] == "--standby"
        assert set(specs) <= set(PROCESSES[host])


def test_patroni_is_synchronous_encrypted_and_within_its_own_limits() -> None:
    found = json.loads(patroni(HOSTS[0], [1, 2, 3], "/usr/bin", Passwords("one", "two", "three")))
    dcs = found["bootstrap"]["dcs"]
    assert dcs["synchronous_mode"] is True
    assert dcs["ttl"] >= dcs["loop_wait"] + 2 * dcs["retry_timeout"]
    assert dcs["ttl"] > dcs["loop_wait"] + dcs["retry_timeout"] + dcs["primary_stop_timeout"], "dead before promotion"
    assert set(dcs["postgresql"]["parameters"]) == set(FOR_ALL_HOSTS)
    assert not set(found["postgresql"]["parameters"]) & set(FOR_ALL_HOSTS)
    assert all(line.startswith("hostssl") for line in found["postgresql"]["pg_hba"])
    for login in found["postgresql"]["authentication"].values():
        assert login["sslmode"] == "verify-full"


def test_etcd_knows_every_peer() -> None:
    line = etcd("h1", "/srv", 10, 11, {"h1": 11, "h2": 12})
    assert "--initial-cluster=h1=http://127.0.0.1:11,h2=http://127.0.0.1:12" in line


def test_haproxy_sends_to_the_primary_and_cuts_off_the_clients_of_a_former_one() -> None:
    text = haproxy(PORTS, HOSTS, "/srv/haproxy", ("operator", "word"))
    assert "option httpchk OPTIONS /primary" in text
    assert text.count("on-marked-down shutdown-sessions") >= 2
    assert f"server h2 127.0.0.1:{HOSTS[1].database_port} check port {HOSTS[1].patroni_port}" in text


@pytest.mark.parametrize(
    ("present", "command", "leads_to"),
    [
        (Condition.RUNNING, "kill", Condition.KILLED),
        (Condition.FROZEN, "kill", Condition.KILLED),
        (Condition.RUNNING, "freeze", Condition.FROZEN),
        (Condition.FROZEN, "thaw", Condition.RUNNING),
        (Condition.KILLED, "start", Condition.RUNNING),
        (Condition.RUNNING, "cut", Condition.CUT_OFF),
        (Condition.CUT_FROM_HOSTS, "heal", Condition.RUNNING),
    ],
)
def test_a_command_leads_to_a_condition(present: Condition, command: str, leads_to: Condition) -> None:
    assert conditions.plan({"etcd-h3": present}, ["h3"], command) == {"etcd-h3": leads_to}


@pytest.mark.parametrize(
    ("present", "command"),
    [(Condition.KILLED, "kill"), (Condition.KILLED, "thaw"), (Condition.FROZEN, "start"), (Condition.RUNNING, "start")],
)
def test_a_command_that_does_not_fit_states_the_condition(present: Condition, command: str) -> None:
    with pytest.raises(PermanentError, match=f"h3 is {present}, so it cannot be given `{command}`"):
        conditions.plan({"etcd-h3": present}, ["h3"], command)


def test_a_command_to_a_host_acts_on_the_processes_that_it_fits() -> None:
    present = dict.fromkeys(PROCESSES["h1"], Condition.RUNNING) | {"broker-h1": Condition.KILLED}
    assert conditions.plan(present, ["h1"], "start") == {"broker-h1": Condition.RUNNING}
    assert "broker-h1" not in conditions.plan(present, ["h1"], "freeze")
    with pytest.raises(PermanentError, match="'h9' is neither a host"):
        conditions.plan(present, ["h9"], "kill")
    with pytest.raises(PermanentError, match="only a host has a network"):
        conditions.plan(present, ["etcd-h2"], "cut")


def test_a_host_has_the_condition_of_its_processes_or_names_the_different_ones() -> None:
    present = dict.fromkeys((name for names in PROCESSES.values() for name in names), Condition.RUNNING)
    present |= dict.fromkeys(PROCESSES["h1"], Condition.KILLED) | {"broker-h2": Condition.FROZEN}
    assert conditions.of_hosts(present) == {"h1": "killed", "h2": "broker-h2 frozen", "h3": "running"}


def test_conditions_are_kept_in_a_file(tmp_path: Path) -> None:
    assert set(conditions.read(tmp_path, PRESENT).values()) == {Condition.RUNNING}
    conditions.write(tmp_path, PRESENT, {"broker-h1": Condition.FROZEN})
    assert conditions.read(tmp_path, PRESENT)["broker-h1"] is Condition.FROZEN
    (tmp_path / PRESENT).write_text("[]")
    with pytest.raises(PermanentError, match="delete it"):
        conditions.read(tmp_path, PRESENT)
