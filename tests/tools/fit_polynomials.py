#!/usr/bin/env python3
"""Derives the coefficients in compiler/codegen/vector_math_tables.h (needs mpmath).

Minimax polynomials by the exchange algorithm of E. Remez (1934) in 60-digit arithmetic: solve for equal alternating weighted error
on degree + 2 points, move the points to the extremes of the error, repeat. Each coefficient is then rounded to the format it is
used in. Prints the table, with the largest weighted error (as a power of two) of the rounded polynomial in exact arithmetic.

    python3 tests/tools/fit_polynomials.py > compiler/codegen/vector_math_tables.h
"""
import struct
from mpmath import mp, mpf

mp.dps = 60


def remez(f, weight, lo, hi, degree):
    """Coefficients (constant first) minimising max |weight(x) * (p(x) - f(x))| on [lo, hi]."""
    n = degree + 2
    centre, radius = (lo + hi) / 2, (hi - lo) / 2
    points = [centre - radius * mp.cos(mp.pi * (2 * i + 1) / (2 * n)) for i in range(n)]
    grid = [centre - radius * mp.cos(mp.pi * i / (40 * n)) for i in range(40 * n + 1)]
    values = [(x, f(x), weight(x)) for x in grid]
    for _ in range(12):
        rows = mp.matrix(n, n)
        right = mp.matrix(n, 1)
        for i, x in enumerate(points):
            for j in range(degree + 1):
                rows[i, j] = x**j
            rows[i, degree + 1] = (-1) ** i / weight(x)
            right[i] = f(x)
        solution = mp.lu_solve(rows, right)
        coefficients = [solution[j] for j in range(degree + 1)]
        errors = [(w * (mp.polyval(coefficients[::-1], x) - y), x) for x, y, w in values]
        runs = []  # the extreme of each run of equal sign
        for e, x in errors:
            if runs and (runs[-1][0] > 0) == (e > 0):
                if abs(e) > abs(runs[-1][0]):
                    runs[-1] = (e, x)
            else:
                runs.append((e, x))
        while len(runs) > n:
            runs.pop(0 if abs(runs[0][0]) < abs(runs[-1][0]) else -1)
        if len(runs) < n:
            break
        points = [x for _, x in runs]
        if max(abs(e) for e, _ in runs) < mpf("1.001") * min(abs(e) for e, _ in runs):
            break
    return coefficients


def rounded(x, single):
    return mpf(struct.unpack("f", struct.pack("f", float(x)))[0]) if single else mpf(float(x))


def table(name, single, comment, f, weight, lo, hi, degree):
    coefficients = [rounded(c, single) for c in remez(f, weight, mpf(lo), mpf(hi), degree)]
    worst = mpf(0)
    for i in range(2001):
        x = mpf(lo) + (mpf(hi) - mpf(lo)) * i / 2000
        worst = max(worst, abs(weight(x) * (mp.polyval(coefficients[::-1], x) - f(x))))
    print(f"// {comment}; error 2^{float(mp.log(worst, 2)):.1f}")
    print(f"inline constexpr double {name}[] = {{")
    line = "   "
    for c in coefficients:
        text = f" {literal(c)},"
        if len(line) + len(text) > 118:
            print(line)
            line = "   "
        line += text
    print(line[:-1] + "};")


def literal(x):
    mantissa, exponent = float(x).hex().split("p")
    return f"{mantissa.rstrip('0') if '.' in mantissa else mantissa}p{exponent}".replace(".p", ".0p")


def away(x):
    """Keeps removable singularities out of the grid."""
    return x if abs(x) > mpf(10) ** -15 else mpf(10) ** -15


def split(name, value, parts, first_bits):
    """value = sum of parts; the first has few bits, so that a small integer times it is exact."""
    out = []
    rest = value
    for i in range(parts):
        if first_bits and i < parts - 1:
            scale = mpf(2) ** (first_bits - 1 - mp.floor(mp.log(abs(rest), 2)))
            part = mp.nint(rest * scale) / scale
        else:
            part = mpf(float(rest))
        out.append(part)
        rest -= part
    print(f"inline constexpr double {name}[] = {{{', '.join(literal(p) for p in out)}}};")


ln2 = mp.log(2)
q = lambda r: (mp.expm1(away(r)) - away(r)) / away(r) ** 2
q_weight = lambda r: abs(away(r) ** 2 / mp.expm1(away(r)))
log_tail = lambda f: (mp.log1p(away(f)) - away(f) + away(f) ** 2 / 2) / away(f) ** 3
log_weight = lambda f: away(f) ** 3 / mp.log1p(away(f))


def atanh_tail(z):
    s = mp.sqrt(away(abs(z)))
    return (2 * mp.atanh(s) / s - 2) / s**2


sin_tail = lambda z: (mp.sin(mp.sqrt(away(abs(z)))) / mp.sqrt(away(abs(z))) - 1) / away(abs(z))
cos_tail = lambda z: (mp.cos(mp.sqrt(away(abs(z)))) - 1 + away(abs(z)) / 2) / away(abs(z)) ** 2
erf_ratio = lambda z: mp.erf(mp.sqrt(away(abs(z)))) / mp.sqrt(away(abs(z))) - 1

print("#pragma once\n")
print("// Written by tests/tools/fit_polynomials.py: Remez fits rounded to the format they are used in; constant term first.\n")
print("namespace gradc::tables {\n")
half = ln2 / 2 * mpf("1.0001")
table("exp_f32", True, "(expm1(r) - r) / r^2 on [-ln2/2, ln2/2], relative to exp", q, lambda r: r**2 / mp.exp(r), -half, half, 4)
table("expm1_f32", True, "the same, relative to expm1", q, q_weight, -half, half, 5)
table("expm1_f64", False, "the same", q, q_weight, -half, half, 10)
table("log_f32", True, "(log(1+f) - f + f^2/2) / f^3 on [sqrt(1/2)-1, sqrt(2)-1], relative to log", log_tail, log_weight,
      mp.sqrt(mpf(1) / 2) - 1, mp.sqrt(2) - 1, 6)
z_max = (mp.sqrt(2) - 1) ** 2 / (mp.sqrt(2) + 1) ** 2 * mpf("1.0001")
table("atanh_f64", False, "(2 atanh(s)/s - 2) / s^2 in z = s^2, s = f/(2+f), relative to 2 atanh(s)/s", atanh_tail, lambda z: z / 2, 0, z_max, 6)
table("atanh_pow", False, "the same, for pow in f32", atanh_tail, lambda z: z / 2, 0, z_max, 4)
z_quarter = (mp.pi / 4) ** 2 * mpf("1.001")
table("sin_f32", True, "(sin(r)/r - 1) / z in z = r^2 on [0, (pi/4)^2]", sin_tail, lambda z: z, 0, z_quarter, 2)
table("cos_f32", True, "(cos(r) - 1 + z/2) / z^2", cos_tail, lambda z: z**2, 0, z_quarter, 2)
table("sin_f64", False, "as for f32", sin_tail, lambda z: z, 0, z_quarter, 5)
table("cos_f64", False, "as for f32", cos_tail, lambda z: z**2, 0, z_quarter, 5)
table("exp2_pow", False, "2^t on [-1/2, 1/2]", lambda t: mpf(2) ** t, lambda t: mpf(2) ** -t, mpf(-0.5), mpf(0.5), 7)
table("erf_small_f32", True, "erf(x)/x - 1 in z = x^2 on [0, 1], relative to erf(x)/x", erf_ratio, lambda z: 1 / (1 + erf_ratio(z)), 0, mpf("1.0001"), 5)
table("erf_large_f32", True, "erf(u + 5/2) - 1 on [-3/2, 3/2]", lambda u: -mp.erfc(u + mpf(5) / 2), lambda u: mpf(1), -mpf("1.5"), mpf("1.5"), 12)
print("\n// Constants in parts, each as exact as its format allows.")
split("ln2_f32", ln2, 2, 15)
split("ln2_f64", ln2, 2, 41)
split("half_pi", mp.pi / 2, 3, 0)
print("\n}  // namespace gradc::tables")
