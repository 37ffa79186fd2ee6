#!/usr/bin/env python3
"""Writes the initial values and the fixed batch of a reference workload, in gradc's names and layouts.

    python3 tests/bench/arrays.py NAME OUTDIR      -> OUTDIR/inputs.npz, OUTDIR/params.npz

numpy only. The values follow the rules that the reference losses (reference.json) were computed with:

    mix(k):  z = k + 0x9E3779B97F4A7C15                      arithmetic mod 2^64 (splitmix64's finaliser)
             z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
             z = (z ^ (z >> 27)) * 0x94D049BB133111EB
             return z ^ (z >> 31)
    key(s, p, i) = (s << 48) + (p << 32) + i
    u(s, p, i)   = (mix(key) >> 40) * 2^-24                  in [0, 1), exact in float32

s = 1 parameters, 2 float inputs, 3 integers; p = position of the tensor in its list; i = row-major index in the reference
shape. A parameter is float32(bound * (2u - 1)), an integer in [0, n) is (mix(key) >> 33) mod n.
Reference linear layers hold [out, in]; ours hold [in, out], so those are transposed. Reference convolutions hold [out, in, kh, kw] and
images [n, c, h, w]; ours [kh, kw, in, out] and [n, h, w, c].
"""
import math
import os
import sys

import numpy as np

MASK = (1 << 64) - 1


def mix(k):
    with np.errstate(over="ignore"):
        z = k + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def bits(seed, position, count):
    return mix(np.uint64(((seed << 48) + (position << 32)) & MASK) + np.arange(count, dtype=np.uint64))


def uniform(seed, position, shape):
    u = (bits(seed, position, math.prod(shape)) >> np.uint64(40)).astype(np.float64) * 2.0**-24
    return u.reshape(shape)


def symmetric(seed, position, shape, bound):
    return (bound * (2.0 * uniform(seed, position, shape) - 1.0)).astype(np.float32)


def integers(position, shape, n):
    return ((bits(3, position, math.prod(shape)) >> np.uint64(33)) % np.uint64(n)).astype(np.int64).reshape(shape)


class Parameters:
    """Our arrays by path, and the path of each reference name; positions count up in the reference's order."""

    def __init__(self):
        self.arrays, self.path_of, self.position = {}, {}, 0

    def add(self, reference, path, array):
        assert path not in self.arrays
        self.arrays[path] = np.ascontiguousarray(array)
        self.path_of[reference] = path
        self.position += 1

    def norm(self, reference, path, width):
        self.add(reference + ".g", path + ".gamma", np.ones(width, np.float32))
        self.add(reference + ".b", path + ".beta", np.zeros(width, np.float32))

    def linear(self, reference, path, fan_in, fan_out, bias=True):
        bound = 1.0 / math.sqrt(fan_in)
        self.add(reference + ".w", path + ".W", symmetric(1, self.position, (fan_out, fan_in), bound).T)
        if bias:
            self.add(reference + ".b", path + ".b", symmetric(1, self.position, (fan_out,), bound))

    def conv(self, reference, path, channels, units, size, bias=True):
        bound = 1.0 / math.sqrt(channels * size * size)
        self.add(reference + ".w", path + ".W", symmetric(1, self.position, (units, channels, size, size), bound).transpose(2, 3, 1, 0))
        if bias:
            self.add(reference + ".b", path + ".b", symmetric(1, self.position, (units,), bound))


def images(batch, channels, size):
    return np.ascontiguousarray(symmetric(2, 0, (batch, channels, size, size), 1.0).transpose(0, 2, 3, 1))


def tiny():
    p = Parameters()
    p.linear("l0", "hidden", 2, 2)
    p.linear("l1", "yhat", 2, 1)
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    return p, dict(x=x, y=np.array([[0], [1], [1], [0]], np.float32))


def dense(sizes, batch):
    p = Parameters()
    for i, (path, a, b) in enumerate(zip(["h1", "h2", "logits"], sizes, sizes[1:])):
        p.linear(f"l{i}", path, a, b)
    return p, dict(x=symmetric(2, 0, (batch, sizes[0]), 1.0), label=integers(0, (batch,), sizes[-1]))


def mlp():
    return dense([784, 512, 512, 10], 128)


def mlp_wide():
    return dense([1024, 4096, 4096, 1000], 256)


def cnn():
    p = Parameters()
    p.conv("c0", "c0", 1, 32, 3)
    p.conv("c1", "c1", 32, 64, 3)
    p.conv("c2", "c2", 64, 128, 3, bias=False)
    p.norm("bn2", "bn2", 128)
    p.linear("f0", "f0", 128 * 7 * 7, 256)
    # Its rows follow the reference's flattening of (c, h, w).
    rows = p.arrays["f0.W"].reshape(128, 7, 7, 256).transpose(1, 2, 0, 3)
    p.arrays["f0.W"] = np.ascontiguousarray(rows.reshape(128 * 7 * 7, 256))
    p.linear("f1", "logits", 256, 10)
    return p, dict(x=images(64, 1, 28), label=integers(0, (64,), 10))


def resnet():
    p = Parameters()
    p.conv("stem", "stem", 3, 16, 3, bias=False)
    p.norm("stem_bn", "stem_bn", 16)
    channels = 16
    for stage, units in enumerate((16, 32, 64)):
        for block in range(3):
            name = f"s{stage}b{block}"
            for i in range(2):
                p.conv(f"{name}.c{i}", f"{name}.c{i}", channels, units, 3, bias=False)
                p.norm(f"{name}.bn{i}", f"{name}.bn{i}", units)
                if i == 0:
                    before, channels = channels, units
            if stage > 0 and block == 0:
                p.conv(f"{name}.sc", f"{name}.sc", before, units, 1, bias=False)
                p.norm(f"{name}.scbn", f"{name}.scbn", units)
    p.linear("fc", "logits", 64, 10)
    return p, dict(x=images(64, 3, 32), label=integers(0, (64,), 10))


def elementwise():
    p = Parameters()
    p.add("x", "x", symmetric(1, 0, (4096, 1024), 2.0))
    for name in "abcd":
        p.add(name, name, symmetric(1, p.position, (1024,), 1.0))
    return p, {}


def pinn():
    p = Parameters()
    for i, (a, b) in enumerate([(2, 64), (64, 64), (64, 64), (64, 1)]):
        p.linear(f"l{i}", f"net.{2 * i}", a, b)
    n = 4096
    return p, dict(t=uniform(2, 0, (n, 1)).astype(np.float32), x=symmetric(2, 1, (n, 1), 1.0))


def gpt(vocabulary=256, width=128, layers=4, time=128, batch=16):
    p = Parameters()
    p.add("tok", "x.tok", symmetric(1, 0, (vocabulary, width), 0.1))
    p.add("pos", "x.pos", symmetric(1, 1, (time, width), 0.1))
    for i in range(layers):
        p.norm(f"h{i}.ln0", f"x[{i}].ln0", width)
        p.linear(f"h{i}.qkv", f"x[{i}].mixed.qkv", width, 3 * width)
        p.linear(f"h{i}.proj", f"x[{i}].mixed.proj", width, width)
        p.norm(f"h{i}.ln1", f"x[{i}].ln1", width)
        p.linear(f"h{i}.up", f"x[{i}].up", width, 4 * width)
        p.linear(f"h{i}.down", f"x[{i}].down", 4 * width, width)
    p.norm("lnf", "final", width)
    p.linear("head", "logits", width, vocabulary, bias=False)
    table = integers(0, (batch, time + 1), vocabulary)
    return p, dict(token=table[:, :-1].copy(), next=table[:, 1:].copy())


def lstm(vocabulary=96, width=64, hidden=256, time=64, batch=32):
    p, bound = Parameters(), 1.0 / math.sqrt(hidden)
    p.add("emb", "x.table", symmetric(1, 0, (vocabulary, width), 0.1))
    p.add("wx", "hs.Wx", symmetric(1, 1, (4 * hidden, width), bound).T)
    p.add("wh", "hs.Wh", symmetric(1, 2, (4 * hidden, hidden), bound).T)
    p.add("bias", "hs.b", symmetric(1, 3, (4 * hidden,), bound))
    p.linear("out", "logits", hidden, vocabulary)
    table = integers(0, (batch, time + 1), vocabulary)
    return p, dict(token=table[:, :-1].copy(), next=table[:, 1:].copy())


WORKLOADS = dict(tiny=tiny, mlp=mlp, mlp_wide=mlp_wide, cnn=cnn, resnet=resnet, lstm=lstm, gpt=gpt, elementwise=elementwise, pinn=pinn)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in WORKLOADS:
        sys.exit(f"usage: arrays.py {{{','.join(WORKLOADS)}}} OUTDIR")
    parameters, inputs = WORKLOADS[sys.argv[1]]()
    os.makedirs(sys.argv[2], exist_ok=True)
    np.savez(os.path.join(sys.argv[2], "inputs.npz"), **inputs)
    np.savez(os.path.join(sys.argv[2], "params.npz"), **parameters.arrays)


if __name__ == "__main__":
    main()
