#!/usr/bin/env python3
"""Holds one workload against reference.json: losses in f32 and f64, gradient norms in f64, digests for 1, 2 and 4 threads.

    python3 tests/bench/check_workload.py GRADC NAME
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import arrays

# Where rounding is amplified, the bound is looser: float32 alone moves the loss of resnet by up to 4e-4.
F32_BOUND = {"resnet": 1e-3}
HERE = pathlib.Path(__file__).resolve().parent


def gradc(tool, *arguments):
    done = subprocess.run([tool, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


class Check:
    def __init__(self, tool, name, folder):
        self.tool, self.name, self.folder, self.failed = tool, name, folder, 0
        self.model = str(HERE / "workloads" / f"{name}.grad")
        self.reference = json.loads((HERE / "reference.json").read_text())[name]
        self.parameters, self.inputs = arrays.WORKLOADS[name]()
        self.files = ["--params", f"{folder}/params.npz"]
        np.savez(f"{folder}/params.npz", **self.parameters.arrays)
        if self.inputs:
            np.savez(f"{folder}/inputs.npz", **self.inputs)
            self.files += ["--inputs", f"{folder}/inputs.npz"]

    def report(self, what, difference, bound):
        good = difference < bound
        self.failed += not good
        print(f"{self.name}: {what}: {difference:.2e} {'<' if good else 'IS NOT BELOW'} {bound:g}")

    def bench(self, dtype, threads):
        out = gradc(self.tool, "bench", self.model, *self.files, "--steps", "10", "--seconds", "0", "--dtype", dtype, "--threads", str(threads), "--json")
        return json.loads(out)

    def losses(self):
        expected = np.array(self.reference["losses"])
        for dtype, bound in (("f32", F32_BOUND.get(self.name, 1e-4)), ("f64", 1e-9)):
            got = np.array(self.bench(dtype, 1)["losses"])
            assert got.shape == expected.shape, f"{got.shape} losses"
            self.report(f"losses in {dtype}", np.max(np.abs(got - expected) / np.abs(expected)), bound)

    def digests(self):
        digests = {self.bench("f32", threads)["digest"] for threads in (1, 2, 4)}
        self.report("further digests with 2 and 4 threads", len(digests) - 1, 1)

    def gradient_norms(self):
        outputs = []
        for path in self.parameters.arrays:
            outputs += ["--output", f"grad(loss, {path})"]
        gradc(self.tool, "run", self.model, *self.files, *outputs, "--train", "--dtype", "f64", "--save", f"{self.folder}/out.npz")
        got, worst = np.load(f"{self.folder}/out.npz"), 0.0
        for reference, norm in self.reference["grad_norm"].items():
            mine = np.linalg.norm(got[f"grad(loss, {self.parameters.path_of[reference]})"].ravel())
            worst = max(worst, abs(mine - norm) / abs(norm))
        self.report("gradient norms in f64", worst, 1e-9)


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRADC_CACHE"] = f"{folder}/cache"
        check = Check(sys.argv[1], sys.argv[2], folder)
        check.losses()
        check.gradient_norms()
        check.digests()
    sys.exit(1 if check.failed else 0)


if __name__ == "__main__":
    main()
