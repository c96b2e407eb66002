"""A build that is ended while a step of it runs: what it leaves, and who takes that away."""
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from host import INGOT, wait_for


def groups(host):
    return [trace for trace in host.traces() if trace.startswith("cgroup") and "-sb" in trace]


def temporary(host):
    return [name for name in os.listdir(host.root / "tmp") if name.startswith("run-")]


@pytest.fixture
def builds(host):
    """Begins builds whose last step goes on for as long as nobody ends it; returns once it runs."""
    shutil.copy("/bin/busybox", host.project / "busybox")
    host.define("version: 1\nproject: shop\nimages:\n  app: { build: . }\n",
                'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "sleep", "3600"]\n')
    (host.project / ".dockerignore").unlink()
    slow = (host.project / "Dockerfile").read_text()
    began = []

    def begin():
        (host.project / "Dockerfile").write_text(slow)
        process = subprocess.Popen([INGOT, "build"], cwd=host.project, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "INGOT_ROOT": str(host.root), "NO_COLOR": "1"})
        began.append(process)

        def runs():
            assert process.poll() is None, process.communicate()
            return any(is_step(pid) for group in groups(host) for pid in processes(group))

        wait_for("the step runs", runs)
        return process

    yield begin
    for process in began:
        if process.poll() is None:
            process.kill()
        process.communicate()


def is_step(pid):
    try:
        return pathlib.Path("/proc", pid, "cmdline").read_bytes() == b"/bin/busybox\0sleep\x003600\0"
    except OSError:
        return False


def processes(group):
    found = []
    for directory, _, _ in os.walk(group.removeprefix("cgroup ")):  # what goes meanwhile is passed over
        try:
            found += pathlib.Path(directory, "cgroup.procs").read_text().split()
        except OSError:
            pass
    return found


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_build_says_one_line_and_leaves_nothing(host, builds, number, code):
    process = builds()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.splitlines()[-1] == "interrupted" and "error:" not in err, err
    assert host.traces() == host.before and temporary(host) == []


def kill(host, builds):
    process = builds()
    process.kill()
    process.communicate()
    wait_for("what ran has ended with it", lambda: not any(processes(group) for group in groups(host)))
    assert groups(host), "nothing is left that could be swept"


def quick(host):
    (host.project / "Dockerfile").write_text("FROM scratch\nCOPY busybox /bin/busybox\n")


def test_the_next_build_sweeps_what_a_killed_one_left(host, builds):
    kill(host, builds)
    quick(host)
    host.ok("build")
    assert host.traces() == host.before


def test_nobody_sweeps_a_build_that_runs(host, builds):
    kill(host, builds)
    process = builds()
    host.start()
    assert process.poll() is None
    assert any(processes(group) for group in groups(host)), "its step was ended"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert groups(host) == []


def test_the_daemon_sweeps_what_a_killed_build_left(host, builds):
    kill(host, builds)
    host.start()
    wait_for("they are gone", lambda: groups(host) == [])
    # And when it gives up the host, what was left since.
    kill(host, builds)
    host.destroy()
    assert host.traces() == host.before


def test_groups_whose_root_was_removed_are_swept_by_the_next_build(host, builds):
    kill(host, builds)
    shutil.rmtree(host.root)
    quick(host)
    host.ok("build")
    assert groups(host) == []
