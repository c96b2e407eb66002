"""Listeners of IPv6 through the real HAProxy: who asked, both families on one port, networks of proxies."""
import http.client
import os
import signal
import socket
import subprocess

import host as module
import pytest
from host import Host, free_port


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="SKIP: this machine has no IPv6 on its loopback")


def ask(address, port, path="/headers", **headers):
    """(status, the request's headers as the instance saw them; of one that is there twice both); None: refused"""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", path, headers=headers)
    except ConnectionRefusedError:
        return None
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    seen = {}
    for name, value in (line.lower().split(": ", 1) for line in body.splitlines() if ": " in line):
        seen[name] = seen[name] + ", " + value if name in seen else value
    return answer.status, seen


def route(host, *listens):
    host.one_service()
    text = (host.project / "ingot.yaml").read_text()
    host.define(text[:text.index("routes:")] + "routes:\n" + "".join(f'  - {{ listen: "{l}", to: web }}\n' for l in listens))


def test_both_families_have_the_same_port_and_say_who_asked(served):
    route(served, f":{served.port}", f"[::]:{served.port}")
    served.apply()
    for address in ("127.0.0.1", "::1"):
        status, seen = ask(address, served.port, **{"X-Forwarded-For": "9.9.9.9"})
        assert status == 200 and seen["x-forwarded-for"] == address, seen
    # The daemon takes them back; a killed HAProxy comes up with them.
    served.kill_daemon(signal.SIGKILL)
    served.start()
    assert ask("::1", served.port)[0] == 200
    again = served.ok("plan").out
    assert "Nothing to do" in again, again
    # One address of IPv6 beside every one is a conflict, of IPv4 it is none.
    route(served, f"[::]:{served.port}", f"[::1]:{served.port}")
    refused = served.run("validate")
    assert refused.code == 2 and "is in use by routes[0]" in refused.err, refused
    other = free_port()
    route(served, f"[::1]:{other}", f"127.0.0.1:{other}", f"[::]:{served.port}")
    served.apply()
    assert ask("::1", other)[0] == 200 and ask("127.0.0.1", other)[0] == 200 and ask("::1", served.port)[0] == 200


def test_the_hosts_own_listeners_and_whom_they_believe():
    host = Host()
    try:
        port = free_port()
        config = host.base / "host.yaml"
        config.write_text(f"""
version: 1
router:
  http: ["127.0.0.1:{port}", "[::1]:{port}"]
  https: []
  trusted_proxies: ["::1/128", 10.0.0.0/8]
""")
        host.start({"INGOT_HOST_CONFIG": str(config)})
        host.one_service()
        text = (host.project / "ingot.yaml").read_text()
        host.define(text[:text.index("routes:")] + "routes:\n  - { host: shop.example, to: web }\n")
        host.apply()
        claims = {"Host": "shop.example", "X-Forwarded-For": "2001:db8::7"}
        status, seen = ask("::1", port, **claims)
        assert status == 200 and seen["x-forwarded-for"] == "2001:db8::7, ::1", seen
        status, seen = ask("127.0.0.1", port, **claims)
        assert status == 200 and seen["x-forwarded-for"] == "127.0.0.1", seen
    finally:
        host.close()


def test_a_host_without_ipv6_refuses_at_plan():
    """The daemon in a network namespace of its own, where IPv6 is off."""
    host = Host()
    try:
        name = f"ingot-test-{os.getpid()}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        try:
            subprocess.run(["ip", "netns", "exec", name, "sh", "-c",
                            "ip link set lo up; sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.lo.disable_ipv6=1"],
                           check=True)
            plain = module.INGOT
            script = host.base / "ingot"
            script.write_text(f'#!/bin/sh\nexec nsenter --net=/run/netns/{name} {plain} "$@"\n')
            script.chmod(0o755)
            module.INGOT = script
            try:
                host.start()
                route(host, f"[::1]:{host.port}")
                plan = host.run("plan")
                assert f"route [::1]:{host.port} is of IPv6, and this host has none" in plan.out, plan
                refused = host.run("apply", "--yes")
                assert refused.code != 0 and "this host has none" in refused.err, refused
                host.destroy()
            finally:
                module.INGOT = plain
        finally:
            subprocess.run(["ip", "netns", "del", name], check=True)
    finally:
        host.daemon = None
        host.close()
