"""The disks of a virtual machine: a Debian with both kernels, made once and kept; what is under test; the data disk.

Everything is made without a mount: file systems are written by their own makers from a folder.
"""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("INGOT_VM_CACHE") or pathlib.Path.home() / ".cache" / "ingot-vm")
MIRROR = os.environ.get("INGOT_VM_MIRROR", "http://deb.debian.org/debian")
SUITE = "bookworm"

# Which suite's linux-image-amd64 a kernel comes from; the series is asserted, not believed.
KERNELS = {"6.1": SUITE, "6.12": f"{SUITE}-backports"}

# mkfs for the disk at /var/lib/ingot, by the case's name.
FILE_SYSTEMS = {
    "ext4-verity": ["mkfs.ext4", "-q", "-F", "-O", "verity", "-L", "ingot-data"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-L", "ingot-data"],
    "btrfs": ["mkfs.btrfs", "-q", "-f", "-L", "ingot-data"],
}

# What the package depends on, so that it is installed without a network, and what the guest's script looks with.
PACKAGES = """systemd systemd-sysv udev kmod python3 crun conmon haproxy libcurl4 init-system-helpers ca-certificates
  iproute2 fsverity zstd initramfs-tools e2fsprogs"""
# A guest has virtio and nothing else.
LEFT_OUT = """drivers/gpu drivers/media drivers/net/wireless drivers/net/ethernet drivers/infiniband drivers/staging drivers/usb
  drivers/scsi drivers/iio drivers/hid drivers/input drivers/mmc drivers/mtd drivers/bluetooth drivers/hwmon drivers/isdn
  drivers/video drivers/nvme drivers/ata drivers/message sound net/bluetooth net/wireless net/mac80211 net/sctp fs/ocfs2
  fs/ceph fs/smb fs/nfs fs/gfs2 fs/f2fs fs/jfs fs/reiserfs fs/nilfs2 fs/ntfs3 fs/afs fs/coda fs/bcachefs"""

FSTAB = """LABEL=ingot-root / ext4 defaults 0 1
LABEL=ingot-data /var/lib/ingot auto defaults 0 0
LABEL=ingot-test /mnt auto ro 0 0
"""

# The script comes with each run; only that it is started is part of the kept image. It is not in a hurry: the report is
# the last thing that a machine says.
UNIT = """[Unit]
Description=what is to be proven on this kernel
After=multi-user.target
ConditionPathExists=/mnt/guest.py

[Service]
Type=simple
ExecStart=/usr/bin/python3 -B /mnt/guest.py
StandardOutput=journal+console
StandardError=journal+console
"""

SET_UP = r"""set -eu
root=$1
mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/etc/initramfs-tools"
printf 'MODULES=list\nCOMPRESS=gzip\n' > "$root/etc/initramfs-tools/conf.d/vm"
printf 'virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n' > "$root/etc/initramfs-tools/modules"
"""
FINISH = r"""set -eu
root=$1
cat "$HERE/fstab" > "$root/etc/fstab"
cp "$HERE/vm-test.service" "$root/etc/systemd/system/"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/var/lib/ingot"
ln -sf ../vm-test.service "$root/etc/systemd/system/multi-user.target.wants/vm-test.service"
for unit in systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer e2scrub_reap fstrim.timer haproxy; do
  case $unit in *.*) ;; *) unit=$unit.service ;; esac
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
echo vm > "$root/etc/hostname"
printf '127.0.0.1 localhost vm\n' > "$root/etc/hosts"
"""


class Missing(Exception):
    """What a machine cannot be made without; the case is skipped, with this reason."""


def need(*programs):
    for program in programs:
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise Missing(f"{program} is not installed")


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True,
                          env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


@contextlib.contextmanager
def alone():
    """Two runs share a cache: one of them makes what is missing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tree_image(folder, image, label, megabytes):
    image.unlink(missing_ok=True)
    run("mke2fs", "-q", "-t", "ext4", "-L", label, "-d", folder, image, f"{megabytes}M")


def megabytes_in(folder):
    return int(run("du", "-sm", folder).split()[0])


def system():
    """The folder with `root.img`, and `vmlinuz-SERIES` and `initrd-SERIES` of each kernel. Minutes, the first time."""
    recipe = "\0".join([SUITE, MIRROR, PACKAGES, LEFT_OUT, FSTAB, UNIT, SET_UP, FINISH, repr(KERNELS)])
    kept = CACHE / ("system-" + hashlib.sha256(recipe.encode()).hexdigest()[:12])
    with alone():
        if not kept.exists():
            need("mmdebstrap", "mke2fs")
            for old in CACHE.glob("system-*"):
                shutil.rmtree(old)
            print("making a Debian with", " and ".join(KERNELS), "below", CACHE, flush=True)
            with tempfile.TemporaryDirectory(prefix="making-", dir=CACHE) as made:
                make_system(pathlib.Path(made))
                pathlib.Path(made, "root").rename(pathlib.Path(made, "gone"))
                shutil.rmtree(pathlib.Path(made, "gone"))
                pathlib.Path(made).chmod(0o755)
                shutil.copytree(made, str(kept) + ".new", dirs_exist_ok=False)
            pathlib.Path(str(kept) + ".new").rename(kept)
    return kept


def make_system(made):
    (made / "fstab").write_text(FSTAB)
    (made / "vm-test.service").write_text(UNIT)
    for name, text in (("set-up", SET_UP), ("finish", FINISH)):
        (made / name).write_text(text)
    made.chmod(0o755)
    root = made / "root"
    options = []
    for folder in LEFT_OUT.split():
        options.append(f"--dpkgopt=path-exclude=/lib/modules/*/kernel/{folder}/*")
    for folder in ("doc", "man", "locale", "info"):
        options.append(f"--dpkgopt=path-exclude=/usr/share/{folder}/*")
    options += [f"--essential-hook=sh {made}/set-up \"$1\""]
    options += [f"--include={','.join(PACKAGES.split())}"]
    for series, suite in KERNELS.items():
        options.append("--customize-hook=DEBIAN_FRONTEND=noninteractive chroot \"$1\" apt-get install -y -q "
                       f"--no-install-recommends -t {suite} linux-image-amd64")
    options.append(f"--customize-hook=HERE={made} sh {made}/finish \"$1\"")
    sources = [f"deb {MIRROR} {suite} main" for suite in KERNELS.values()]
    try:
        run("mmdebstrap", "--variant=minbase", "--mode=root", "--skip=check/empty", *options, SUITE, root, *sources)
    except RuntimeError as error:
        if "Failed to fetch" in str(error) or "Could not resolve" in str(error) or "Unable to locate" in str(error):
            raise Missing(f"Debian's packages cannot be had from {MIRROR} ({str(error).strip().splitlines()[-1]})") from error
        raise
    for series in KERNELS:
        found = sorted(path.name for path in (root / "boot").glob(f"vmlinuz-{series}.*"))
        if len(found) != 1:
            raise Missing(f"{KERNELS[series]} of {MIRROR} has no kernel {series}")
        release = found[0].removeprefix("vmlinuz-")
        shutil.copy(root / "boot" / found[0], made / f"vmlinuz-{series}")
        shutil.copy(root / "boot" / f"initrd.img-{release}", made / f"initrd-{series}")
    shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    tree_image(root, made / "root.img", "ingot-root", megabytes_in(root) + 600)


def package(build, folder, as_built):
    """The .deb of a build, which is brought up to date unless it is to be taken as it is."""
    need("cpack", "dpkg-shlibdeps")
    if not as_built:
        run("cmake", "--build", build, "--target", "ingot", "test_app", "package_files")
    run("cpack", "--config", build / "CPackConfig.cmake", "-B", folder)
    return next(folder.glob("ingot_*.deb"))


def data_disk(kind, image, megabytes=1024):
    need(FILE_SYSTEMS[kind][0])
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    run(*FILE_SYSTEMS[kind], image)
