"""neural-tangents on the benchmark's networks; run by an interpreter that has it, not imported.

``python neural_tangents_peer.py --model mlp --examples 256 --implementation 3`` prints one line of
JSON. Implementations: 1 jacobian contraction, 2 NTK-vector products, 3 structured derivatives.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
from importlib import import_module
from time import perf_counter


def main() -> None:
    """Measure the compiled kernel: fewest seconds of the repeats, memory above what data took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--implementation", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    jax, nt = import_module("jax"), import_module("neural_tangents")
    stax = nt.stax
    shape: tuple[int, ...]
    if arguments.model == "mlp":
        hidden = [stax.Dense(256), stax.Relu(), stax.Dense(256), stax.Relu()]
        layers, shape = [*hidden, stax.Dense(10)], (784,)
    else:
        one = [stax.Conv(32, (3, 3), padding="VALID"), stax.Relu()]
        layers, shape = [*one, *one, *one, stax.Flatten(), stax.Dense(10)], (32, 32, 3)
    initialize, network, _ = stax.serial(*layers)
    x = jax.random.normal(jax.random.PRNGKey(0), (arguments.examples, *shape))
    _, weights = initialize(jax.random.PRNGKey(1), x.shape)
    kernel = jax.jit(
        nt.empirical_ntk_fn(
            network, trace_axes=(), vmap_axes=0, implementation=arguments.implementation
        )
    )
    with open("/proc/self/statm") as file:
        before = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e9
    kernel(x, None, weights).block_until_ready()
    seconds: list[float] = []
    while len(seconds) < arguments.repeats and sum(seconds) < 60.0:
        begin = perf_counter()
        kernel(x, None, weights).block_until_ready()
        seconds.append(perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6 - before
    print(json.dumps({"seconds": min(seconds), "peak_gb": peak, "value": None}))


if __name__ == "__main__":
    main()
