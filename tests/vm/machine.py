"""A virtual machine in software (no KVM: on some hosts it is there and does not carry Debian's kernels)."""
import ctypes
import json
import pathlib
import select
import shutil
import signal
import subprocess
import time

from image import Missing

QEMU = "qemu-system-x86_64"


def usable():
    if not shutil.which(QEMU):
        raise Missing(f"{QEMU} is not installed: apt-get install qemu-system-x86")


def die_with_parent():
    """However we end, the machine does not outlive us."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Machine:
    """One boot after another of the same disks. What the guest says is read from a file that it alone appends to."""

    def __init__(self, folder, kernel, initrd, disks, memory_mb=1536, cpus=2):
        self.folder = pathlib.Path(folder)
        self.report = self.folder / "report"
        self.console = self.folder / "console.log"
        self.report.touch()
        self.read = 0
        self.process = None
        self.command = [
            QEMU, "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off,svm=off", "-smp", str(cpus),
            "-m", f"{memory_mb}M", "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none",
            "-kernel", str(kernel), "-initrd", str(initrd),
            "-append", "root=/dev/vda rw console=ttyS0 quiet loglevel=4 panic=-1 nowatchdog mitigations=off "
                       "systemd.show_status=no module_blacklist=powernow_k8,iTCO_wdt,i2c_i801,lpc_ich",
            "-device", "virtio-rng-pci",
            "-serial", f"file:{self.console}",
            "-device", "virtio-serial-pci", "-chardev", f"file,id=report,path={self.report},append=on",
            "-device", "virtserialport,chardev=report,name=ingot",
        ]
        # What the guest has handed to a disk outlives the machine, as the host goes on; what it has not is lost.
        for image in disks:
            self.command += ["-drive", f"file={image},format=raw,if=virtio,cache=unsafe"]

    def start(self):
        assert self.process is None
        if self.console.exists():
            self.console.rename(self.folder / f"console.{time.time_ns()}.log")
        self.errors = open(self.folder / "qemu.log", "ab")
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors,
                                        preexec_fn=die_with_parent)

    def lines(self, silence_seconds):
        """Every line as it comes, until the machine ends. TimeoutError when it says nothing for so long."""
        heard = time.monotonic()
        rest = b""
        with open(self.report, "rb") as file:
            file.seek(self.read)
            while True:
                ended = self.process.poll() is not None
                chunk = file.read(1 << 16)
                if chunk:
                    heard = time.monotonic()
                    rest += chunk
                    while b"\n" in rest:
                        line, rest = rest.split(b"\n", 1)
                        self.read += len(line) + 1
                        yield json.loads(line)
                elif ended:
                    return
                elif time.monotonic() - heard > silence_seconds:
                    raise TimeoutError(f"the machine has said nothing for {silence_seconds} s")
                else:
                    select.select([], [], [], 0.2)

    def cut(self):
        """The power goes: nothing of the guest gets to write anything more."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.errors.close()

    def wait(self, seconds):
        self.process.wait(timeout=seconds)
        self.cut()
