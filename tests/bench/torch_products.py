"""PyTorch's products for tests/bench/run --kernels: reads one product a line, {"form", "m", "n", "k"}, and answers with the GFLOP/s of each way to have it.

    torch_products.py THREADS

"as ours": weights as [inputs, units], the layout that gradc's language gives them; "as Linear": as [units, inputs], as torch.nn.Linear keeps them.
Both write into a result that is there already. Timed as product_bench times ours: a pause, one call to wake threads and fill caches, the best of three bursts.
"""
import json
import sys
import time

import torch

PAUSE, BURST, BURSTS = 0.04, 0.01, 3


def ways(form, m, n, k):
    """Functions that multiply [m, k] by [k, n]: m rows of a batch, unless by weight, where they are its sum."""
    def numbers(*shape):
        return torch.rand(*shape) * 2 - 1
    if form == "forward":     # x [m, k] by w
        x, w, linear, out = numbers(m, k), numbers(k, n), numbers(n, k), torch.empty(m, n)
        return {"as ours": lambda: torch.mm(x, w, out=out), "as Linear": lambda: torch.mm(x, linear.t(), out=out)}
    if form == "by input":    # dy [m, k] by w turned: w is [n, k] in ours
        dy, w, linear, out = numbers(m, k), numbers(n, k), numbers(k, n), torch.empty(m, n)
        return {"as ours": lambda: torch.mm(dy, w.t(), out=out), "as Linear": lambda: torch.mm(dy, linear, out=out)}
    x, dy, out, linear = numbers(k, m), numbers(k, n), torch.empty(m, n), torch.empty(n, m)  # by weight: x turned by dy
    return {"as ours": lambda: torch.mm(x.t(), dy, out=out), "as Linear": lambda: torch.mm(dy.t(), x, out=linear)}


def timed(work, times):
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times


def rate(work, flops):
    time.sleep(PAUSE)
    work()
    once = timed(work, 1)
    times = int(min(max(BURST / max(once, 1e-7), 1), 1e5))
    return 1e-9 * flops / min([once] + [timed(work, times) for _ in range(BURSTS)])


def main():
    torch.set_num_threads(int(sys.argv[1]))
    with torch.inference_mode():
        for line in sys.stdin:
            p = json.loads(line)
            flops = 2 * p["m"] * p["n"] * p["k"]
            print(json.dumps({way: round(rate(work, flops), 2) for way, work in ways(p["form"], p["m"], p["n"], p["k"]).items()}), flush=True)


if __name__ == "__main__":
    main()
