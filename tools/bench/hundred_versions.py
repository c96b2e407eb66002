"""Disk that a store takes with 100 versions of an image that differ in one file, all on one base of 150 MB."""
import subprocess

import host
from measure import Failed, Row, timed_ms

VERSIONS = 100


def used(root):
    parts = [str(path) for name in ("objects", "layers", "blobs", "store.db", "store.db-wal")
             for path in [root / name] if path.exists()]
    out = subprocess.run(["du", "-c", "-s", "-B1", *parts], check=True, capture_output=True, text=True).stdout
    return int(out.splitlines()[-1].split()[0]) / 1e6


def run(context):
    image = context.debian()
    root = image.first_root
    env = {"INGOT_ROOT": str(root)}
    first = used(root)
    for _ in range(VERSIONS - 1):
        image.change_a_line()
        timed_ms([str(host.INGOT), "build", "app"], image.host.project, env)
    images = image.host.ok("images", "ls", "--json", env=env).json()["images"]
    if len(images) != VERSIONS + 1:  # and the base
        raise Failed(f"the store has {len(images)} images, expected {VERSIONS + 1}")
    return Row("hundred_versions", "MB", used(root), 175, note=f"{first:.1f} MB with one; base {image.bytes / 1e6:.0f} MB")
