"""GET of a manifest by tag, 64 kept connections of one wrk thread on the same machine; microseconds per request."""
from measure import Row, median
from registry_hosts import Registry, peer_of, requests_per_second

RUNS = 3


def run(_):
    def rates(registry):
        registry.push_manifest("bench/manifest", "v1")
        url = f"http://{registry.address}/v2/bench/manifest/manifests/v1"
        return [requests_per_second(url) for _ in range(RUNS)]

    with Registry("ingot") as registry:
        found = rates(registry)
    row = Row("manifest_get", "µs", 1e6 / median(found), 33.33,
              note=f"{median(found):.0f} requests/s, goal 30,000")

    def peer(registry):
        rate = median(rates(registry))
        row.note += f"; the peer {rate:.0f}"
        return 1e6 / rate

    return peer_of(row, peer)
