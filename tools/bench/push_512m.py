"""One blob of 512 MB pushed by curl in one request, until the registry says that it has it (Ingot: durable)."""
from measure import Row, median, spread
from registry_hosts import Registry, peer_of, random_file

RUNS = 5


def run(_):
    with Registry("ingot") as registry:
        blob, digest = random_file(registry.base)

        def push(to):
            return [to.push_file(f"bench/push{number}", blob, digest) for number in range(RUNS)]

        times = push(registry)
        row = Row("push_512m", "ms", median(times), 600, note=f"{spread(times)}; durable when it is acknowledged, the peer's not")
        return peer_of(row, lambda peer: median(push(peer)))
