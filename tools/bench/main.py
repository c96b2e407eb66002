"""./bench: measures Ingot, and its peers in the same run. See docs/bench/README.md."""
import argparse
import importlib
import json
import os
import pathlib
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests"))

ROWS = {  # name: unit, goal, for a row that could not be measured
    "noop_build": ("ms", 10), "one_line_change": ("ms", 40), "edit_to_traffic": ("ms", 300), "remote_apply": ("ms", 500), "rollback": ("ms", 20),
    "spare_promote": ("ms", 100),
    "start_instance": ("ms", 30), "job_start": ("ms", 50), "rollouts_under_load": ("failed", 0), "rollouts_all_strategies": ("failed", 0), "canary_detect": ("ms", 1000),
    "apply_20": ("ms", 1000), "instances_per_s": ("ms", 16.67), "crash_every_step": ("failed", 0), "foreground_p99": ("ms", 5),
    "hundred_versions": ("MB", 175), "tls_requests": ("µs", None), "boot_20": ("ms", 3000), "upgrade": ("failed", 0),
    "pull_image": ("ms", None),
    "idle_daemon": ("MB", 30), "push_512m": ("ms", 600), "push_many": ("ms", None),
    "pull_512m": ("ms", 150), "manifest_get": ("µs", 33.33), "registry_memory": ("MB", 64),
    "verify_image": ("ms", 200), "recovery_million": ("ms", 1000),
    "collect": ("ms", 1000), "tag_put_growth": ("×", 1.2),
}


def prepare():
    """Builds what is measured, unless INGOT_BUILD names a build directory; what it prints is not the result."""
    if "INGOT_BUILD" in os.environ:
        return
    for command in (["tools/packages", "install", "run", "build"], ["cmake", "--preset", "release"],
                    ["cmake", "--build", "--preset", "release", "--target", "ingot", "ingot_load", "test_app"]):
        done = subprocess.run(command, cwd=SOURCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(f"error: {' '.join(command)}:\n{done.stdout[-3000:]}")


def measure(name, context, say):
    from measure import Row, stolen_ms
    say(f"{name} …")
    began, stolen = time.monotonic(), stolen_ms()
    try:
        row = importlib.import_module(name).run(context)
        share = (stolen_ms() - stolen) / 10 / (time.monotonic() - began) / os.cpu_count()
        if share >= 0.5:  # percent
            row.note += f"; the hypervisor took {share:.0f} % of the CPU meanwhile"
        return row, True
    except Exception as error:  # one row that fails is reported, and does not take the others with it
        text = " ".join(str(error).split()) or type(error).__name__
        say(f"  not measured: {text}")
        unit, goal = ROWS[name]
        return Row(name, unit, None, goal, note=f"not measured: {text[-600:]}"), False


def main():
    parser = argparse.ArgumentParser(prog="./bench", description="Measures Ingot, and its peers in the same run.")
    parser.add_argument("--only", metavar="NAME", choices=ROWS, action="append", help="one row (repeatable): " + ", ".join(ROWS))
    parser.add_argument("--record", action="store_true", help="with --only: put what was measured into results.md")
    parser.add_argument("--json", action="store_true", help="JSON on stdout: one object with --only, else a list")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("error: ./bench mounts file systems and makes network namespaces, so it needs root")
    load_before = os.getloadavg()
    prepare()
    import results
    from context import Context, say
    rows, all_measured = [], True
    with Context() as context:
        for name in options.only or ROWS:
            row, measured = measure(name, context, say)
            rows.append(row.json())
            all_measured &= measured
    facts = results.machine(load_before)
    if options.json:
        print(json.dumps(rows[0] if len(options.only or []) == 1 else rows, ensure_ascii=False))
    else:
        print("\n".join(facts) + "\n\n" + results.table(rows) + "\n")
        print("\n".join(f"{row['name']}: {row['note']}" for row in rows if row["note"]))
    if options.only and options.record:
        results.record([row for row in rows if row["ingot"] is not None], ROWS)
    if not options.only:
        results.write(rows, facts)
        say(f"written: {results.FILE.relative_to(SOURCE)}")
    return 0 if all_measured else 1


if __name__ == "__main__":
    sys.exit(main())
