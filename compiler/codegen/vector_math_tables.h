#pragma once

// Written by tests/tools/fit_polynomials.py: Remez fits rounded to the format they are used in; constant term first.

namespace gradc::tables {

// (expm1(r) - r) / r^2 on [-ln2/2, ln2/2], relative to exp; error 2^-28.0
inline constexpr double exp_f32[] = {
    0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558f2p-5, 0x1.1239e2p-7, 0x1.6a2464p-10};
// the same, relative to expm1; error 2^-28.8
inline constexpr double expm1_f32[] = {
    0x1.0p-1, 0x1.555554p-3, 0x1.5554b2p-5, 0x1.11118ap-7, 0x1.6d71f8p-10, 0x1.a0331p-13};
// the same; error 2^-58.3
inline constexpr double expm1_f64[] = {
    0x1.0p-1, 0x1.5555555555556p-3, 0x1.555555555554fp-5, 0x1.1111111110861p-7, 0x1.6c16c16c1ac09p-10,
    0x1.a01a01a7ed094p-13, 0x1.a01a0186e5ebbp-16, 0x1.71de0e968e396p-19, 0x1.27e533bceb259p-22, 0x1.af346c3059172p-26,
    0x1.1ecb943741ab8p-29};
// (log(1+f) - f + f^2/2) / f^3 on [sqrt(1/2)-1, sqrt(2)-1], relative to log; error 2^-24.8
inline constexpr double log_f32[] = {
    0x1.5556d8p-2, -0x1.000382p-2, 0x1.98d7fp-3, -0x1.538232p-3, 0x1.31746p-3, -0x1.24335ap-3, 0x1.645ffep-4};
// (2 atanh(s)/s - 2) / s^2 in z = s^2, s = f/(2+f), relative to 2 atanh(s)/s; error 2^-58.9
inline constexpr double atanh_f64[] = {
    0x1.5555555555592p-1, 0x1.999999997fd7bp-2, 0x1.24924941f4d2ep-2, 0x1.c71c52061ea12p-3, 0x1.74663f9f5e20ap-3,
    0x1.39a1a712f1209p-3, 0x1.2f063502597d9p-3};
// the same, for pow in f32; error 2^-44.9
inline constexpr double atanh_pow[] = {
    0x1.555555561e43fp-1, 0x1.999996a948c2dp-2, 0x1.249411eec6bf1p-2, 0x1.c62b146d55feap-3, 0x1.911592b4bf053p-3};
// (sin(r)/r - 1) / z in z = r^2 on [0, (pi/4)^2]; error 2^-27.4
inline constexpr double sin_f32[] = {
    -0x1.555546p-3, 0x1.11075cp-7, -0x1.994cfap-13};
// (cos(r) - 1 + z/2) / z^2; error 2^-31.0
inline constexpr double cos_f32[] = {
    0x1.55554ap-5, -0x1.6c0c86p-10, 0x1.9a00dap-16};
// as for f32; error 2^-57.0
inline constexpr double sin_f64[] = {
    -0x1.5555555555549p-3, 0x1.111111110f861p-7, -0x1.a01a019c0e479p-13, 0x1.71de3574b2e3dp-19,
    -0x1.ae5e63c6341b6p-26, 0x1.5d92446eadec7p-33};
// as for f32; error 2^-59.7
inline constexpr double cos_f64[] = {
    0x1.555555555554cp-5, -0x1.6c16c16c15162p-10, 0x1.a01a019caef56p-16, -0x1.27e4f807d7341p-22,
    0x1.1ee9ea6d41c41p-29, -0x1.8fadd0962917bp-37};
// 2^t on [-1/2, 1/2]; error 2^-34.5
inline constexpr double exp2_pow[] = {
    0x1.ffffffffabb69p-1, 0x1.62e42ff1162ap-1, 0x1.ebfbe0a4c09e3p-3, 0x1.c6b08aaf36349p-5, 0x1.3b29dc401232fp-7,
    0x1.5d8a707a6bf48p-10, 0x1.446a203d732d5p-13, 0x1.fe17988364839p-17};
// erf(x)/x - 1 in z = x^2 on [0, 1], relative to erf(x)/x; error 2^-24.1
inline constexpr double erf_small_f32[] = {
    0x1.06eba2p-3, -0x1.812674p-2, 0x1.ce094p-4, -0x1.b5a32ap-6, 0x1.4245d6p-8, -0x1.273c38p-11};
// erf(u + 5/2) - 1 on [-3/2, 3/2]; error 2^-24.3
inline constexpr double erf_large_f32[] = {
    -0x1.aaaf2ep-12, 0x1.1d7a42p-9, -0x1.64fca2p-8, 0x1.11bdap-7, -0x1.1a330ap-7, 0x1.8fd8ecp-8, -0x1.72546p-9,
    0x1.2c5f34p-11, 0x1.33dadap-12, -0x1.25ddfep-12, 0x1.ec84e4p-15, 0x1.65572ap-16, -0x1.206bf8p-17};

// Constants in parts, each as exact as its format allows.
inline constexpr double ln2_f32[] = {0x1.62e4p-1, 0x1.7f7d1cf79abcap-20};
inline constexpr double ln2_f64[] = {0x1.62e42fefa4p-1, -0x1.8432a1b0e2634p-43};
inline constexpr double half_pi[] = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110};

}  // namespace gradc::tables
