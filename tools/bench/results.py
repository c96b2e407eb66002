"""The table, on the terminal and as docs/bench/results.md."""
import os
import pathlib
import platform
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FILE = SOURCE / "docs" / "bench" / "results.md"


def machine(load_before):
    cpu = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), "unknown CPU")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = " ".join(f"{value:.2f}" for value in load_before)
    return [f"CPU: {cpu}, {os.cpu_count()} cores, {memory:.1f} GiB memory", f"Kernel: {platform.release()}",
            f"Date: {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}", f"Load average before the run: {load}"]


def figure(value, unit):
    return "–" if value is None else f"{value:g} {unit}"


def cells(row):
    ratio = "–" if row["ratio"] is None else f"{row['ratio']:g}×"
    goal = "–" if row["goal"] is None else f"{'≤ ' if row['goal'] else ''}{row['goal']:g} {row['unit']}"
    return [row["name"], figure(row["ingot"], row["unit"]), goal, "yes" if row["met"] else "no",
            figure(row["peer"], row["unit"]), ratio, row["peer_name"] or "–"]


HEAD = ["row", "Ingot", "goal", "met", "peer", "ratio", "peer's name"]


def table(rows):
    lines = [HEAD] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def record(rows, order):
    """Puts rows in the place of those that are there, each with its own date; the others stay as they were measured."""
    lines = FILE.read_text().splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("|---")) + 1
    last = next((n for n in range(first, len(lines)) if not lines[n].startswith("|")), len(lines))
    cells_of = {line.split("|")[1].strip(): line for line in lines[first:last]}
    notes = {line[2:].split(":")[0]: line for line in lines[last:] if line.startswith("- ")}
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    for row in rows:
        cells_of[row["name"]] = "| " + " | ".join(cells(row)) + " |"
        notes[row["name"]] = f"- {row['name']}: {row['note']} (measured alone, {when})"
    text = lines[:first] + [cells_of[name] for name in order if name in cells_of]
    text += ["", "Notes:", ""] + [notes[name] for name in order if name in notes]
    FILE.write_text("\n".join(text) + "\n")


def write(rows, facts):
    text = ["# Results of ./bench", "",
            "Written by `./bench`; [README.md](README.md) says what each row is. Medians. Ratio: peer divided by Ingot.", ""]
    text += [f"- {fact}" for fact in facts]
    text += ["", "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    text += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    text += ["", "Notes:", ""]
    text += [f"- {row['name']}: {row['note']}" for row in rows if row["note"]]
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text("\n".join(text) + "\n")
