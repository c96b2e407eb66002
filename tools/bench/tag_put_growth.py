"""PUT of a tag in a repository of 100,000 tags by its time in one of 100: how many times as long it takes."""
import http.client
import statistics
import time

from measure import Failed, Row
from registry_hosts import MANIFEST_TYPE, Registry, peer_of

MANY = 100_000
PEER_MANY = 3_000  # it takes a request and several files for each tag
FEW = 100
AT_ONCE = 80  # an answer names each tag in a header, and http.client reads at most 100
PUTS = 300


class Tagger:
    def __init__(self, registry, repository):
        self.repository = repository
        registry.push_manifest(repository, "first")
        self.connection = http.client.HTTPConnection(registry.address, timeout=60)
        self.connection.request("GET", f"/v2/{repository}/manifests/first", headers={"Accept": MANIFEST_TYPE})
        answer = self.connection.getresponse()
        self.manifest, self.digest = answer.read(), answer.headers["Docker-Content-Digest"]

    def put(self, reference):
        self.connection.request("PUT", f"/v2/{self.repository}/manifests/{reference}", body=self.manifest,
                                headers={"Content-Type": MANIFEST_TYPE})
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise Failed(f"PUT {reference[:60]}: status {answer.status}")

    def fill(self, count, at_once):
        for begin in range(0, count, at_once):
            tags = [f"tag-{number}" for number in range(begin, min(begin + at_once, count))]
            if at_once == 1:
                self.put(tags[0])
            else:
                self.put(self.digest + "?" + "&".join("tag=" + tag for tag in tags))


def growth(registry, many, at_once):
    """(ratio, ms in few, ms in many): medians of PUTs that alternate between the two."""
    small, large = Tagger(registry, "bench/few"), Tagger(registry, "bench/many")
    small.fill(FEW, at_once)
    large.fill(many, at_once)
    times = {small: [], large: []}
    for number in range(PUTS):
        for tagger in (small, large):
            begin = time.perf_counter()
            tagger.put(f"tag-{number % FEW}")  # moves nothing and adds none: both stay as large as they are
            times[tagger].append((time.perf_counter() - begin) * 1e3)
    few, more = statistics.median(times[small]), statistics.median(times[large])
    return more / few, few, more


def run(_):
    with Registry("ingot") as registry:
        ratio, few, more = growth(registry, MANY, AT_ONCE)
    row = Row("tag_put_growth", "×", ratio, 1.2,
              note=f"{few:.2f} ms at {FEW} tags, {more:.2f} ms at {MANY}; the peer's growth from {FEW} to {PEER_MANY} tags")
    return peer_of(row, lambda peer: growth(peer, PEER_MANY, 1)[0])
