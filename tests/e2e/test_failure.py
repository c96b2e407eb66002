"""What must not happen: a half-done deployment, a request to an unproven instance, an unclear error."""
import datetime
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from host import INGOT, wait_for


def assert_unchanged(host, revision, instances):
    assert host.get()[:2] == (200, revision)
    assert {i["id"] for i in host.instances("web", "ready")} == instances
    status = host.status()
    assert [r["role"] for r in status["revisions"]] == ["active"], status["revisions"]
    assert status["fleets"] == []


@pytest.mark.parametrize("fault, reason", [
    ('NEVER_LISTEN: "1"', "web"),
    ('HEALTH: "500"', "500"),
    ('EXIT_AFTER_MS: "1", EXIT_CODE: "7", LISTEN_AFTER_MS: "5000"', "exit code 7"),
])
def test_a_broken_release_is_reverted_before_any_request_reaches_it(served, fault, reason):
    served.one_service("good")
    served.apply()
    before = {i["id"] for i in served.instances("web", "ready")}
    with served.load() as load:
        served.one_service("bad", env=fault)
        done = served.run("apply", "--yes", "--json")
        assert done.code == 5, done
        assert done.json()["rollout"]["phase"] == "reverted"
        assert reason in done.json()["rollout"]["reason"], done
    assert load.result["failed"] == 0, load.result
    assert set(load.result["seen"]) == {"good"}
    wait_for("the candidates are gone", lambda: not served.status()["fleets"] and len(served.status()["revisions"]) == 1)
    assert_unchanged(served, "good", before)


def took(rollout):
    """Seconds from the acceptance of a rollout to its end."""
    times = sorted(datetime.datetime.fromisoformat(time.replace("Z", "+00:00")) for time in rollout["entered"].values())
    return (times[-1] - times[0]).total_seconds()


def test_a_program_that_does_not_exist_names_itself(served):
    served.one_service("one", extra='command: ["/no/such/program"]')
    done = served.run("apply", "--yes")
    assert done.code == 5, done
    assert "/no/such/program" in done.err, done
    rollout = served.ok("history", "--json").json()["rollouts"][0]
    assert took(rollout) < 9, "what never ran is given no grace period"


def test_a_release_that_crashes_in_a_loop_after_the_switch_is_taken_back(served):
    served.one_service("good")
    served.apply()
    before = {i["id"] for i in served.instances("web", "ready")}
    served.one_service("bad", env='EXIT_AFTER_MS: "150"')
    served.run("apply", "--yes")
    wait_for("the rollout is reverted",
             lambda: served.ok("history", "--json").json()["rollouts"][0]["phase"] == "reverted", 20)
    assert "keep dying" in served.ok("history", "--json").json()["rollouts"][0]["reason"]
    assert "reverted: r2 was taken back: instances of web keep dying" in served.ok("status").out
    wait_for("the candidates are gone", lambda: not served.status()["fleets"])
    assert_unchanged(served, "good", before)


def test_a_running_rollout_is_aborted_by_a_verb(served):
    served.one_service("good")
    served.apply()
    before = {i["id"] for i in served.instances("web", "ready")}
    served.one_service("slow", env='LISTEN_AFTER_MS: "2500"')
    served.ok("build")
    done = []
    apply = threading.Thread(target=lambda: done.append(served.run("apply", "--yes")))
    apply.start()
    wait_for("the rollout runs", lambda: served.status()["rollout"])
    served.ok("rollout", "abort")
    apply.join()
    assert done[0].code == 5, done
    wait_for("the candidates are gone", lambda: not served.status()["fleets"])
    assert_unchanged(served, "good", before)
    assert served.run("rollout", "abort").code == 1


def test_an_undeclared_environment_is_refused(served):
    served.one_service("one")
    done = served.run("validate", "-e", "stagng")
    assert done.code in (1, 2) and "stagng" in done.err, done


def test_a_mistyped_root_is_not_an_empty_store(host):
    for verb in (["verify"], ["images", "ls"], ["gc"]):
        done = host.run(*verb, "--root", str(host.base / "typo"))
        assert done.code == 1 and "there is no store" in done.err, done
    assert not (host.base / "typo").exists()


def test_a_daemon_that_cannot_start_leaves_nothing(host):
    root = host.base / ("x" * 120)
    done = host.run("serve", "--root", str(root))
    assert done.code != 0 and "shorter --root" in done.err, done
    assert str(root) not in pathlib.Path("/proc/self/mountinfo").read_text()


def test_two_routes_that_speak_differently_to_one_port_are_found_at_validate(host):
    host.one_service("one")
    file = host.project / "ingot.yaml"
    file.write_text(file.read_text() + f'  - {{ listen: "127.0.0.1:{host.port + 1}", to: web, protocol: tcp }}\n')
    done = host.run("validate")
    assert done.code == 2 and "speaks http" in done.err, done


def test_a_tcp_route_makes_its_port_tcp(served):
    served.one_service("one")
    file = served.project / "ingot.yaml"
    file.write_text(file.read_text().replace("to: web }", "to: web, protocol: tcp }"))
    served.apply()
    assert served.get()[:2] == (200, "one")


def test_an_instance_that_keeps_crashing_is_replaced_with_backoff_and_called_degraded(served):
    served.one_service("one", replicas=1, env='EXIT_AFTER_MS: "400"')
    served.apply()
    wait_for("degraded", lambda: served.status()["services"][0]["degraded"], 30)
    assert "exit code 1" in served.status()["services"][0]["reason"]
    text = served.ok("status").out
    assert "degraded" in text
    # Backoff: far fewer starts than 0.4 s each would give.
    import json
    import time
    def starts():
        return sum(json.loads(line)["kind"] == "instance.starting" for line in served.ok("events", "--json").out.splitlines())
    first = starts()
    time.sleep(4)
    assert starts() - first <= 6


def test_two_applies_at_once_never_interleave(served):
    served.one_service("one", env='LISTEN_AFTER_MS: "700"')
    other = served.base / "other"
    shutil.copytree(served.project, other)
    (other / "ingot.yaml").write_text((other / "ingot.yaml").read_text().replace("REVISION: one", "REVISION: two"))
    served.ok("build")
    results = {}

    def apply(name, cwd, *options):
        results[name] = served.run("apply", "--yes", "--json", *options, cwd=cwd)

    first = threading.Thread(target=apply, args=("first", served.project))
    first.start()
    wait_for("the first rollout", lambda: served.run("status", "--json").code == 0 and served.status()["rollout"])
    apply("refused", other)
    assert results["refused"].code == 1, results["refused"]
    assert "rollout 1" in results["refused"].out or "r1" in results["refused"].out, results["refused"]
    apply("waited", other, "--wait")
    first.join()
    assert results["first"].code == 0 and results["waited"].code == 0, results
    assert served.get()[1] == "two"


def test_a_port_in_use_is_refused_by_name_and_changes_nothing(served):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        served.port = other.getsockname()[1]
        served.one_service("one")
        done = served.run("apply", "--yes")
        assert done.code in (1, 5), done
        assert str(served.port) in done.err and str(os.getpid()) in done.err, done
        wait_for("nothing is left", lambda: not served.status()["fleets"] and not served.status()["services"])


def test_a_listener_of_another_environment_is_refused_at_plan(served):
    served.one_service("one")
    served.apply()
    (served.project / "ingot.yaml").write_text(
        (served.project / "ingot.yaml").read_text().replace("project: shop", "project: rival"))
    done = served.run("plan")
    assert done.code == 1, done
    assert "shop/local" in done.err, done


@pytest.mark.parametrize("text, place, words", [
    ("replica: 3", "ingot.yaml:3:", "replicas"),
])
def test_a_wrong_key_is_named_with_its_place(host, text, place, words):
    (host.project / "ingot.yaml").write_text("version: 1\nproject: shop\nreplica: 3\n")
    done = host.run("validate")
    assert done.code == 2 and place in done.err, done


def test_what_is_not_built_yet_is_refused_by_name(served):
    served.one_service("one", extra="keepalive_timeout: 5s")
    done = served.run("plan")
    assert done.code == 2 and "not yet supported: services.web.keepalive_timeout" in done.err, done


def test_a_failing_run_names_its_line_and_leaves_nothing(host):
    host.define("version: 1\nproject: shop\nimages:\n  app: { build: . }\n",
                "FROM scratch\nCOPY busybox /bin/sh\nRUN echo before && exit 3\n")
    shutil.copy("/bin/busybox", host.project / "busybox")
    (host.project / ".dockerignore").unlink()
    done = host.run("build")
    assert done.code == 1, done
    assert "Dockerfile:3" in done.err and "3" in done.err and "before" in done.err, done
    assert host.traces() == host.before


def test_an_image_that_fails_its_test_is_never_golden(host):
    host.define("version: 1\nproject: shop\nimages:\n  app: { build: ., test: [{ http: { port: 8080, path: /healthz, status: 204 }, timeout: 2s }] }\n")
    done = host.run("build")
    assert done.code == 1 and "204" in done.err, done
    assert all(not image["golden"] for image in host.ok("images", "ls", "--json").json()["images"])


@pytest.mark.parametrize("missing", ["crun", "conmon", "haproxy"])
def test_a_missing_program_is_named_with_its_package(host, missing):
    """The daemon either says so at once, or refuses the first release: never a silent half."""
    folder = host.base / "bin"
    folder.mkdir()
    for directory in ("/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            if name != missing and not (folder / name).exists():
                (folder / name).symlink_to(os.path.join(directory, name))
    # A private mount namespace hides the program itself: PATH alone would not, the standard folders are looked at too.
    target = shutil.which(missing)
    script = f"mount --bind /dev/null {target} && exec {INGOT} serve"
    process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], env={**os.environ, "INGOT_ROOT": str(host.root)},
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        out, _ = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        # It serves: then the release must be refused, and the doctor must know.
        host.one_service("one")
        done = subprocess.run(["nsenter", "-t", str(process.pid), "-m", str(INGOT), "apply", "--yes"], cwd=host.project,
                              env={**os.environ, "INGOT_ROOT": str(host.root)}, capture_output=True, text=True)
        out = done.stdout + done.stderr
        assert done.returncode != 0, out
        host.run("destroy", "--host", "--yes")
        process.terminate()
        process.wait(timeout=30)
    assert missing in out, out


def test_a_full_disk_is_said_and_leaves_what_serves(served):
    small = served.base / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs", str(small)], check=True)
    try:
        served.define("version: 1\nproject: shop\nimages:\n  app: { build: . }\n",
                      "FROM scratch\nCOPY app /app\nCOPY big /big\n")
        (served.project / ".dockerignore").unlink()
        (served.project / "big").write_bytes(os.urandom(40 << 20))
        done = served.run("build", "--root", str(small / "root"))
        assert done.code == 1 and "space" in done.err.lower(), done
        (served.project / "big").write_bytes(b"small")
        served.ok("build", "--root", str(small / "root"))
        assert served.ok("verify", "--root", str(small / "root"), "--json").json()["ok"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_drain_lets_a_slow_request_end(served):
    served.one_service("one", rollout="{ keep_old: 0s, drain: 5s }")
    served.apply()
    answers = []
    slow = threading.Thread(target=lambda: answers.append(served.get("/slow?1500")))
    slow.start()
    served.one_service("two", rollout="{ keep_old: 0s, drain: 5s }")
    served.apply()
    slow.join()
    assert answers[0][:2] == (200, "one"), answers
