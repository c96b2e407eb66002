"""A canary that answers 5 % of its requests with an error, at 1,000 requests/s: from the first request that it was given
to the last; and how many of 100 canaries that are as good as the old fleet (2 % errors each) are reverted."""
from measure import Failed, Row, median
from service import served

BAD = 20
EQUAL = 100
STEP = ", strategy: canary, steps: [{{ weight: 50%, for: {hold} }}, {{ weight: 100% }}], analysis: {{}}"


def run(_context):
    with served(replicas=2, keep_old="0s") as service:
        service.define(rollout=STEP.format(hold="1m"))
        with service.host.load(rate=1000 * 1.05, connections=32) as load:
            for n in range(BAD):
                service.define(revision=f"bad{n}", env=", ERRORS_PER_MILLE: 50")
                done = service.host.run("apply", "--yes", "--json")
                if done.code != 5 or "analysis of web failed" not in done.json()["rollout"]["reason"]:
                    raise Failed(f"bad canary {n} was not found: {done}")
        seen = load.result
        strangers = {name: count for name, count in seen["failed_by"].items() if not name.startswith("bad")}
        if strangers or seen["failed"] != sum(seen["failed_by"].values()):
            raise Failed(f"errors that are not the canaries' own: {seen['failures']} {strangers} {seen['examples']}")
        times = [(seen["seen"][f"bad{n}"]["last_ns"] - seen["seen"][f"bad{n}"]["first_ns"]) / 1e6 for n in range(BAD)]
        service.define(revision="e", env=", ERRORS_PER_MILLE: 20", rollout="")
        service.host.apply()
        service.define(rollout=STEP.format(hold="1s"))
        reverted = []
        with service.host.load(rate=1000 * 1.05, connections=32) as equal:
            for n in range(EQUAL):
                service.define(revision=f"e{n}")
                done = service.host.run("apply", "--yes", "--json")
                if done.code != 0:
                    reverted.append(done.json()["rollout"]["reason"])
    note = (f"worst {max(times):.0f} of {BAD} with 5 % errors at half of {seen['rate']:.0f} requests/s, all reverted, no other "
            f"request failed; {len(reverted)} of {EQUAL} equal pairs reverted ({equal.result['requests']} requests, "
            f"{equal.result['failed']} errors)")
    if reverted:
        note += f"; {reverted[0]}"
    return Row("canary_detect", "ms", max(times), 1000, note=note + f"; median {median(times):.0f}",
               also_met=not reverted)
