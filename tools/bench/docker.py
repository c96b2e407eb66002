"""The peer: Debian's Docker with a daemon of its own, which leaves nothing behind."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from measure import Failed, timed_ms

DOCKER = "/usr/bin/docker"  # Debian's; another one may come first in PATH
DOCKERD = "/usr/sbin/dockerd"


class Absent(Exception):
    """The peer cannot be measured on this machine; the text says why."""


class Docker:
    def __init__(self):
        for program in (DOCKER, DOCKERD, "/usr/bin/skopeo"):
            if not os.access(program, os.X_OK):
                raise Absent(f"{program} is not installed (tools/packages install bench)")
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="ingot-bench-", dir="/tmp"))
        self.group = "/" + self.base.name  # its containers' cgroup
        self.env = {"DOCKER_HOST": f"unix://{self.base}/sock", "DOCKER_BUILDKIT": "1",
                    "DOCKER_CONFIG": str(self.base / "config")}
        self.loaded = set()
        with open(self.base / "log", "wb") as log:
            self.daemon = subprocess.Popen(
                [DOCKERD, "--data-root", str(self.base / "data"), "--exec-root", str(self.base / "run"),
                 "--host", self.env["DOCKER_HOST"], "--pidfile", str(self.base / "pid"), "--iptables=false",
                 "--ip6tables=false", "--bridge=none", "--storage-driver", "overlay2", "--cgroup-parent", self.group],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.name = self.wait_until_it_answers()
        except BaseException:
            self.close()
            raise

    def wait_until_it_answers(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.daemon.poll() is not None:
                raise Absent("dockerd ended: " + self.last_of_log())
            done = self.run("version", "--format", "{{.Server.Version}}")
            if done.returncode == 0:
                return "Docker " + done.stdout.strip()
            time.sleep(0.1)
        raise Absent("dockerd did not answer within 60 s: " + self.last_of_log())

    def last_of_log(self):
        lines = (self.base / "log").read_text(errors="replace").strip().splitlines()
        return lines[-1][-300:] if lines else "no output"

    def run(self, *args):
        return subprocess.run([DOCKER, *args], env={**os.environ, **self.env}, capture_output=True, text=True)

    def timed_ms(self, *args):
        try:
            return timed_ms([DOCKER, *args], env=self.env)
        except Failed as failed:
            raise Absent(str(failed)) from failed

    def load(self, host, image, name, root=None):
        """Gives it the same image that Ingot has, as an archive of its own kind."""
        if name in self.loaded:
            return
        layout, archive = self.base / f"{name}-oci", self.base / f"{name}.tar"
        env = {"INGOT_ROOT": str(root)} if root else None
        host.ok("images", "export", image, str(layout), env=env)
        tag = json.loads((layout / "index.json").read_text())["manifests"][0].get("annotations", {}).get(
            "org.opencontainers.image.ref.name")
        source = f"oci:{layout}" + (f":{tag}" if tag else "")
        copied = subprocess.run(["/usr/bin/skopeo", "--insecure-policy", "--tmpdir", str(self.base), "copy", source,
                                 f"docker-archive:{archive}:{name}:latest"], capture_output=True, text=True)
        if copied.returncode != 0:
            raise Absent("skopeo: " + copied.stderr.strip()[-300:])
        loaded = self.run("load", "--input", str(archive))
        if loaded.returncode != 0:
            raise Absent("docker load: " + loaded.stderr.strip()[-300:])
        archive.unlink()
        shutil.rmtree(layout)
        self.loaded.add(name)

    def close(self):
        """Ends the daemon and its containerd by process id; removes mounts, cgroups and files."""
        children = pathlib.Path(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children")
        try:
            below = [int(word) for word in children.read_text().split()]
        except OSError:
            below = []
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        for child in below:  # containerd, should dockerd not have ended it
            if str(self.base).encode() in command_line(child):
                os.kill(child, signal.SIGKILL)
        mounts = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(str(self.base) + "/")]):
            subprocess.run(["umount", "--lazy", mount], check=False)
        for folder, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
            if self.group in folder:
                try:
                    os.rmdir(folder)
                except OSError:
                    pass
        shutil.rmtree(self.base, ignore_errors=True)


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
