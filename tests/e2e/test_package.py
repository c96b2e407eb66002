"""The Debian package: made, looked at, installed, upgraded, removed and purged by the real dpkg, in a root of its own."""
import json
import os
import re
import shutil
import subprocess

import pytest

from host import BUILD, SOURCE

# One worker of a parallel run has them all: the package is made once.
pytestmark = pytest.mark.xdist_group("package")

SCRIPTS = ("postinst", "prerm", "postrm")


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    for tool in ("cpack", "dpkg-deb", "dpkg-shlibdeps"):
        if shutil.which(tool) is None:
            pytest.skip(f"SKIP: {tool} is not installed")
    folder = tmp_path_factory.mktemp("package")
    # Only what describes the program: it is as it was built.
    run("cmake", "--build", BUILD, "--target", "package_files")
    run("cpack", "--config", BUILD / "CPackConfig.cmake", "-B", folder)
    return next(folder.glob("ingot_*.deb"))


def test_a_package_is_what_debian_expects(package):
    fields = dict(line.split(": ", 1) for line in run("dpkg-deb", "-f", package).splitlines() if ": " in line)
    version = run(BUILD / "src/app/ingot", "version").split()[-1]
    assert fields["Package"] == "ingot" and fields["Version"] == version + "-1"
    assert package.name == f"ingot_{version}-1_{fields['Architecture']}.deb"
    needs = {part.split()[0] for part in fields["Depends"].split(", ")}
    assert {"libc6", "crun", "conmon", "haproxy", "libcurl4"} <= needs, fields["Depends"]
    # The short description, then paragraphs: a line of the long one begins with a space.
    assert run("dpkg-deb", "-f", package, "Description").splitlines()[1].startswith(" From one definition")

    entries = [line.split(None, 5) for line in run("dpkg-deb", "-c", package).splitlines()]
    paths = {entry[5]: entry for entry in entries}
    for mode, owner, _, _, _, path in entries:
        assert owner == "root/root", path
        wanted = "drwxr-xr-x" if path.endswith("/") else "-rwxr-xr-x" if path == "./usr/bin/ingot" else "-rw-r--r--"
        assert mode == wanted, path
        assert path.split("/")[1] in ("usr", "lib", ""), path
    for path in ("./usr/bin/ingot", "./lib/systemd/system/ingot.service", "./usr/share/man/man1/ingot.1.gz",
                 "./usr/share/doc/ingot/copyright", "./usr/share/doc/ingot/changelog.Debian.gz",
                 "./usr/share/doc/ingot/guide/operating.md", "./usr/share/doc/ingot/formats/host.md",
                 "./usr/share/bash-completion/completions/ingot", "./usr/share/fish/vendor_completions.d/ingot.fish"):
        assert path in paths, path


def test_its_parts_are_well_formed(package, tmp_path):
    run("dpkg-deb", "-R", package, tmp_path / "x")
    control = tmp_path / "x" / "DEBIAN"
    for script in SCRIPTS:
        assert (control / script).stat().st_mode & 0o777 == 0o755
        run("sh", "-n", control / script)
    sums = (control / "md5sums").read_text().splitlines()
    run("md5sum", "--check", "--quiet", control / "md5sums", cwd=tmp_path / "x")
    assert len(sums) == sum(len(files) for folder, _, files in os.walk(tmp_path / "x") if "DEBIAN" not in folder)
    # Stripped, and the same program.
    ingot = tmp_path / "x/usr/bin/ingot"
    assert run(ingot, "version") == run(BUILD / "src/app/ingot", "version") == run(ingot, "--version")
    assert ingot.stat().st_size < (BUILD / "src/app/ingot").stat().st_size
    # groff has no complaint about the manual page, and it has every verb.
    page = tmp_path / "x/usr/share/man/man1/ingot.1.gz"
    shown = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True,
                           env={**os.environ, "MANWIDTH": "200", "LC_ALL": "C.UTF-8"})
    if shutil.which("man"):
        assert shown.returncode == 0 and not shown.stderr.strip(), shown.stderr
        for words in ("ingot rollout advance", "ingot registry serve", "--root TEXT"):
            assert words in shown.stdout, words
    run("bash", "-c", f"source {tmp_path}/x/usr/share/bash-completion/completions/ingot && complete -p ingot")
    # The example is a host.yaml, and so is what its comments say.
    example = tmp_path / "x/usr/share/doc/ingot/examples/host.yaml"
    run(ingot, "validate", "--host", example)
    whole = tmp_path / "host.yaml"
    whole.write_text(re.sub(r"(?m)^# (disk_limit:|router:|  )", r"\1", example.read_text()))
    assert "certificates" in whole.read_text()
    # All of it is known; only the certificates of its example are nowhere.
    checked = subprocess.run([ingot, "validate", "--host", "--json", whole], capture_output=True, text=True, timeout=60)
    assert [p["message"].split(":")[0] for p in json.loads(checked.stdout)["problems"]] == ["router.certificates[0]"], checked
    if shutil.which("systemd-analyze"):
        unit = tmp_path / "ingot.service"
        unit.write_text((tmp_path / "x/lib/systemd/system/ingot.service").read_text().replace("/usr/bin/ingot", str(ingot)))
        checked = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
        assert "ingot.service" not in checked.stderr, checked.stderr
    # What the guide says of the unit is in it.
    guide = (SOURCE / "docs/guide/operating.md").read_text()
    assert "KillMode=process" in guide and "KillMode=process" in (SOURCE / "packaging/ingot.service").read_text()


class Root:
    """A root directory that dpkg installs into; its scripts know it by DPKG_ROOT."""

    def __init__(self, path):
        self.path = path
        for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"):
            (path / folder).mkdir(parents=True)
        (path / "var/lib/dpkg/status").touch()

    def dpkg(self, *args):
        return subprocess.run(["dpkg", f"--root={self.path}", "--force-script-chrootless", "--force-depends", *map(str, args)],
                              capture_output=True, text=True, timeout=300)

    def state(self):
        done = subprocess.run(["dpkg-query", f"--admindir={self.path}/var/lib/dpkg", "-W", "-f", "${db:Status-Status} ${Version}",
                               "ingot"], capture_output=True, text=True)
        return done.stdout

    def enabled(self):
        return os.path.lexists(self.path / "etc/systemd/system/multi-user.target.wants/ingot.service")


def test_dpkg_installs_upgrades_and_removes_it(package, tmp_path):
    root = Root(tmp_path / "root")
    done = root.dpkg("-i", package)
    if "script-chrootless" in done.stderr and done.returncode != 0:
        pytest.skip("SKIP: this dpkg installs into no root of its own")
    assert done.returncode == 0, done.stderr
    version = run("dpkg-deb", "-f", package, "Version").strip()
    assert root.state() == f"installed {version}"
    assert root.enabled()
    assert run(root.path / "usr/bin/ingot", "version") == run(BUILD / "src/app/ingot", "version")

    # A next version, over the first: a service that was disabled stays so.
    (root.path / "etc/systemd/system/multi-user.target.wants/ingot.service").unlink()
    run("dpkg-deb", "-R", package, tmp_path / "next")
    control = tmp_path / "next/DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {version}", "Version: 99.0-1"))
    (tmp_path / "next/usr/share/doc/ingot/README.md").unlink()
    run("dpkg-deb", "-b", tmp_path / "next", tmp_path / "next.deb")
    done = root.dpkg("-i", tmp_path / "next.deb")
    assert done.returncode == 0, done.stderr
    assert root.state() == "installed 99.0-1" and not root.enabled()
    assert not (root.path / "usr/share/doc/ingot/README.md").exists()

    # What instances and the host have is not the package's.
    instances = root.path / "run/ingot/i/web-1"
    instances.mkdir(parents=True)
    kept = root.path / "var/lib/ingot/state.db"
    kept.parent.mkdir(parents=True)
    kept.touch()
    done = root.dpkg("-r", "ingot")
    assert done.returncode == 0 and "instances go on serving without the daemon" in done.stderr, done.stderr
    assert not (root.path / "usr/bin/ingot").exists() and instances.exists()
    done = root.dpkg("-P", "ingot")
    assert done.returncode == 0 and "/var/lib/ingot is kept" in done.stderr, done.stderr
    assert root.state() == "" and kept.exists()
    left = [path for path in root.path.rglob("*") if "ingot" in path.name and "var/lib/dpkg" not in str(path)]
    assert sorted(left) == [root.path / "run/ingot", root.path / "var/lib/ingot"]
