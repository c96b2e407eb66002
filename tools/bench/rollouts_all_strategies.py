"""Failed requests in 1,000 rollouts of every strategy at 1,000 requests/s on kept connections, half of them POST. One in
ten is a bad release, which has to be reverted."""
from measure import Row
from service import served

ROLLOUTS = 1000
RATE = 1000
STRATEGIES = [
    "",
    ", strategy: rolling",
    ", strategy: canary, steps: [{ weight: 20%, for: 100ms }, { weight: 60%, for: 100ms }, { weight: 100% }]",
    ", strategy: canary, steps: [{ weight: 50%, for: 300ms }, { weight: 100% }], analysis: { min_requests: 20 }",
]


def run(_context):
    reverted = wrong = rollbacks = 0
    with served(replicas=2, keep_old="2s") as service:
        with service.host.load(rate=RATE * 1.05, connections=32) as load:
            for n in range(ROLLOUTS):
                if n % 25 == 24:
                    rollbacks += 1
                    wrong += service.host.run("rollback").code != 0
                    continue
                bad = n % 10 == 7
                # It is never ready, so no client may ever see it.
                service.define(revision=f"{'bad' if bad else 'r'}{n}", rollout=STRATEGIES[(n + n // 10) % len(STRATEGIES)],
                               env=", EXIT_AFTER_MS: 1, HEALTH: 500" if bad else "")
                code = service.host.run("apply", "--yes", "--json").code
                reverted += code == 5
                wrong += code != (5 if bad else 0)
    seen = load.result
    leaked = [name for name in seen["seen"] if name.startswith("bad")]
    note = (f"{ROLLOUTS} rollouts (blue-green, rolling, canary, canary with analysis), {rollbacks} of them rollbacks, {reverted} "
            f"bad ones reverted; {seen['requests']} requests, {seen['posts']} POST, {seen['rate']:.0f}/s, p99 "
            f"{seen['p99_ms']:.0f} ms, max {seen['max_ms']:.0f} ms")
    if seen["failures"] or wrong or leaked:
        note += f"; {seen['failures']} {seen['examples']}; {wrong} with another outcome; answers of bad ones: {leaked}"
    return Row("rollouts_all_strategies", "failed", seen["failed"], 0, note=note,
               also_met=seen["rate"] >= RATE and not wrong and not leaked)
