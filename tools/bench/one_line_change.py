"""One line of a copied file changed: the new image golden and in the store, on a base of 150 MB."""
import host
from measure import Failed, Row, median, spread, timed_ms

RUNS = 30


def digest(image):
    found = image.host.ok("images", "inspect", "bench/app", "--json").json()
    if not found["golden"]:
        raise Failed("the image is not golden")
    return found["digest"]


def run(context):
    image = context.debian()
    env = {"INGOT_ROOT": str(image.host.root)}
    command = [str(host.INGOT), "build", "app"]
    times = []
    seen = {digest(image)}
    for _ in range(RUNS):
        image.change_a_line()
        times.append(timed_ms(command, image.host.project, env))
        seen.add(digest(image))
    if len(seen) != RUNS + 1:
        raise Failed(f"{RUNS} changes gave {len(seen) - 1} images")
    row = Row("one_line_change", "ms", median(times), 40, note=f"{spread(times)}; base {image.bytes / 1e6:.0f} MB")

    def peer(docker):
        docker.load(image.host, "bench/base", "base")
        build = ("build", "-q", "-t", "app", str(image.app))
        docker.timed_ms(*build)
        peers = []
        for _ in range(RUNS):
            image.change_a_line()
            peers.append(docker.timed_ms(*build))
        return median(peers), f"BuildKit ({docker.name})"

    return context.beside(row, peer)
