"""A daemon that cannot start: it says why, and the host is as it was."""
import socket
import subprocess

import pytest

from host import free_port, wait_for


def openssl(directory, *args):
    subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True, timeout=60)


def make_certificate(directory, days=30):
    openssl(directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "api.key", "-out",
            "api.csr", "-subj", "/CN=api")
    openssl(directory, "x509", "-req", "-in", "api.csr", "-signkey", "api.key", "-out", "api.crt", "-days", str(days))


def configure(host, text):
    file = host.base / "host.yaml"
    file.write_text("version: 1\n" + text)
    return {"INGOT_HOST_CONFIG": str(file)}


def api(port):
    return f'api: {{ listen: ["127.0.0.1:{port}"], tls: {{ certificate: api.crt, key: api.key }} }}\n'


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_missing_certificate_of_the_api_leaves_nothing(host):
    done = host.run("serve", env=configure(host, api(free_port())))
    assert done.code == 1 and "api.crt" in done.err, done
    assert host.traces() == host.before
    assert not (host.root / "run" / "ns").exists(), "it was found out after namespaces were made"


def test_a_taken_port_of_the_api_leaves_nothing(host, taken):
    make_certificate(host.base)
    done = host.run("serve", env=configure(host, api(taken)))
    assert done.code == 1 and f"127.0.0.1:{taken}" in done.err, done
    assert host.traces() == host.before
    assert not (host.root / "run" / "ns").exists(), "it was found out after namespaces were made"


@pytest.mark.parametrize("key", ["metrics", "registry"])
def test_what_is_found_out_late_is_undone(host, taken, key):
    text = {"metrics": f'metrics: "127.0.0.1:{taken}"\n', "registry": f'registry: {{ listen: ["127.0.0.1:{taken}"] }}\n'}[key]
    done = host.run("serve", env=configure(host, text))
    assert done.code == 1 and str(taken) in done.err, done
    assert host.traces() == host.before


def test_what_serves_stays_when_the_next_daemon_cannot_start(served, taken):
    served.one_service("one")
    served.apply()
    instances = {i["id"] for i in served.instances("web", "ready")}
    served.kill_daemon()
    done = served.run("serve", env=configure(served, f'metrics: "127.0.0.1:{taken}"\n'))
    assert done.code == 1, done
    assert served.get()[:2] == (200, "one")
    served.start()
    assert {i["id"] for i in served.instances("web", "ready")} == instances


def doctor(host, env):
    return next(fact for fact in host.run("doctor", "--json", env=env).json()["facts"] if fact["name"] == "certificates")


def test_certificates_of_the_api_are_looked_at(host):
    env = configure(host, api(free_port()))
    done = host.run("validate", "--host", env=env)
    assert done.code == 2 and "api.tls" in done.err and "api.crt" in done.err, done
    fact = doctor(host, env)
    assert fact["state"] == "missing" and "api.tls" in fact["seen"] and "api.crt" in fact["seen"], fact
    make_certificate(host.base)
    host.ok("validate", "--host", env=env)
    fact = doctor(host, env)
    assert fact["state"] == "ok" and fact["seen"].startswith("1 of host.yaml"), fact
    make_certificate(host.base, 3)
    host.ok("validate", "--host", env=env)
    assert doctor(host, env)["state"] == "degraded"


def test_an_expired_certificate_of_the_api_is_named(host):
    env = configure(host, api(free_port()))
    make_certificate(host.base, 0)  # it ends with the second in which it was made

    def expired():
        done = host.run("validate", "--host", "--json", env=env)
        return done.code == 2 and done.json()["problems"][0]["message"]

    message = wait_for("it has expired", expired)
    assert message.startswith("api.tls: api.crt expired at "), message
    fact = doctor(host, env)
    assert fact["state"] == "missing" and "api.crt expired at" in fact["seen"], fact
    # The daemon says so and goes on: who renews the files needs no new start.
    host.start(env=env)
    assert "api.tls: api.crt expired at" in (host.base / "daemon.log").read_text()
    host.one_service(replicas=1)
    host.apply()
    [problem] = host.status()["problems"]
    assert problem.startswith("certificate of host.yaml: api.tls: api.crt expired at "), problem
    make_certificate(host.base)
    assert host.status()["problems"] == []
