"""`ingot build` as a whole process when nothing has changed, the image on a base of 150 MB."""
import host
from measure import Row, median, spread, timed_ms

RUNS = 30


def run(context):
    image = context.debian()
    env = {"INGOT_ROOT": str(image.host.root)}
    command = [str(host.INGOT), "build", "app"]
    timed_ms(command, image.host.project, env)
    times = [timed_ms(command, image.host.project, env) for _ in range(RUNS)]
    row = Row("noop_build", "ms", median(times), 10, note=f"{spread(times)}; base {image.bytes / 1e6:.0f} MB")

    def peer(docker):
        docker.load(image.host, "bench/base", "base")
        build = ("build", "-q", "-t", "app", str(image.app))
        docker.timed_ms(*build)
        return median([docker.timed_ms(*build) for _ in range(RUNS)]), f"BuildKit ({docker.name})"

    return context.beside(row, peer)
