"""One blob of 512 MB pulled by curl, from the page cache."""
from measure import Row, median, spread
from registry_hosts import Registry, peer_of, random_file

RUNS = 9


def run(_):
    with Registry("ingot") as registry:
        blob, digest = random_file(registry.base)

        def pull(source):
            source.push_file("bench/pull", blob, digest)
            source.pull("bench/pull", digest)
            return [source.pull("bench/pull", digest) for _ in range(RUNS)]

        times = pull(registry)
        row = Row("pull_512m", "ms", median(times), 150, note=spread(times))
        return peer_of(row, lambda peer: median(pull(peer)))
