"""buildah, containerd and docker against the registry without TLS, as people use it on their own host."""
import os
import subprocess

from registries import digest
from test_registry import needs, registry  # noqa: F401
from test_registry_access import Background, archive_of, layout_image, run
from host import wait_for


def tags(registry, repository):  # noqa: F811
    return registry.call("GET", f"/v2/{repository}/tags/list")[2]


def served(registry, repository, tag):  # noqa: F811
    status, _, body = registry.call("GET", f"/v2/{repository}/manifests/{tag}")
    assert status == 200, body
    return body


def test_buildah_commits_pushes_and_pulls(registry, tmp_path):  # noqa: F811
    needs("buildah")
    layout_image(tmp_path / "image")
    buildah = ["buildah", "--root", registry.host.base / "c", "--runroot", registry.host.base / "r", "--storage-driver", "vfs"]
    policy = ["--signature-policy", registry.policy, "--tls-verify=false"]
    name = f"{registry.address}/team/buildah"
    container = run(*buildah, "from", "--signature-policy", registry.policy, f"oci:{tmp_path}/image:v").strip()
    (tmp_path / "more").write_text("more")
    run(*buildah, "copy", container, tmp_path / "more", "/more")
    run(*buildah, "commit", "--signature-policy", registry.policy, "--rm", container, "local/made:1")
    run(*buildah, "push", *policy, "local/made:1", f"docker://{name}:2.0")
    pushed = served(registry, "team/buildah", "2.0")
    run(*buildah, "rmi", "--force", "--all")
    run(*buildah, "pull", *policy, f"docker://{name}:2.0")
    assert tags(registry, "team/buildah") == b'{"name":"team/buildah","tags":["2.0"]}'
    # A copy of what it pulled is what was pushed: the files are there, and the manifest is the same.
    container = run(*buildah, "from", "--pull-never", f"{name}:2.0").strip()
    root = run(*buildah, "mount", container).strip()
    assert sorted(os.listdir(root)) == ["hello", "more"]
    run(*buildah, "umount", container)
    run(*buildah, "rm", container)
    run(*buildah, "rmi", "--force", "--all")
    assert served(registry, "team/buildah", digest(pushed)) == pushed


def test_containerd_pushes_and_pulls(registry, tmp_path):  # noqa: F811
    needs("containerd", "ctr")
    image = layout_image(tmp_path / "image")
    (tmp_path / "config.toml").write_text(
        f'version = 2\nroot = "{tmp_path}/root"\nstate = "{tmp_path}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
        f'[grpc]\n  address = "{tmp_path}/c.sock"\n[ttrpc]\n  address = "{tmp_path}/t.sock"\n')
    name = f"{registry.address}/team/ctr:2.0"
    ctr = ["ctr", "-a", tmp_path / "c.sock", "images"]
    with Background(tmp_path / "containerd.log", "containerd", "-c", tmp_path / "config.toml"):
        wait_for("containerd", lambda: subprocess.run([str(a) for a in ctr] + ["ls"], capture_output=True).returncode == 0, 60)
        run(*ctr, "import", "--no-unpack", "--base-name", "local/ctr", archive_of(tmp_path / "image", tmp_path / "image.tar"))
        run(*ctr, "tag", "local/ctr:v", name)
        run(*ctr, "push", "--plain-http", name)
        run(*ctr, "rm", "--sync", name, "local/ctr:v")
        run(*ctr, "pull", "--plain-http", "--snapshotter", "native", name)
        assert digest(image.manifest) in run(*ctr, "ls")
    assert served(registry, "team/ctr", "2.0") == image.manifest


def test_docker_pushes_pulls_and_builds_from_it(registry, tmp_path, short_path):  # noqa: F811
    needs("docker", "dockerd", "containerd", "skopeo")
    layout_image(tmp_path / "image")
    docker = ["docker", "-H", f"unix://{short_path}/d.sock", "--config", tmp_path / "config"]
    engine = ["dockerd", "-H", f"unix://{short_path}/d.sock", "--data-root", tmp_path / "data", "--exec-root", short_path / "exec",
              "--pidfile", tmp_path / "pid", "--storage-driver", "vfs", "--iptables=false", "--ip6tables=false", "--bridge=none"]
    name = f"{registry.address}/team/docker"
    with Background(tmp_path / "dockerd.log", *engine):
        wait_for("the engine", lambda: subprocess.run([str(a) for a in docker] + ["version"], capture_output=True).returncode == 0, 60)
        archive = tmp_path / "docker.tar"
        run("skopeo", "--policy", registry.policy, "copy", f"oci:{tmp_path}/image:v", f"docker-archive:{archive}:{name}:2.0")
        run(*docker, "load", "-i", archive)
        run(*docker, "push", f"{name}:2.0")
        run(*docker, "rmi", f"{name}:2.0")
        run(*docker, "pull", f"{name}:2.0")
        (tmp_path / "context").mkdir()
        (tmp_path / "context" / "more").write_text("more")
        (tmp_path / "context" / "Dockerfile").write_text(f"FROM {name}:2.0\nCOPY more /more\n")
        run(*docker, "build", "-q", "-t", f"{name}:3.0", tmp_path / "context", env={**os.environ, "DOCKER_BUILDKIT": "0"})
        run(*docker, "push", f"{name}:3.0")
    assert tags(registry, "team/docker") == b'{"name":"team/docker","tags":["2.0","3.0"]}'
