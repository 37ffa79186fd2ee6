#include "compiler/codegen/vector_math.h"

#include <cmath>
#include <limits>

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Module.h>

#include "compiler/codegen/vector_math_tables.h"
#include "compiler/support/error.h"

// Argument reductions follow the classical literature: Cody and Waite, Software Manual for the Elementary Functions (1980), with
// products by fma; log by the atanh series of W. Kahan's and K.C. Ng's fdlibm in f64. Polynomials are our own fits
// (tests/tools/fit_polynomials.py).
//
// Clamps are written select(x > hi, hi, x): the comparison is false on NaN, which so passes through, and LLVM makes one
// min instruction of it.
namespace gradc {
namespace {

using llvm::ArrayRef;
using llvm::Intrinsic::ID;
using llvm::Type;
using llvm::Value;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double log2_e = 1.4426950408889634074;
constexpr double two_over_pi = 0.63661977236758134308;

// One function's worth of arithmetic in one type.
class Math {
 public:
  Math(llvm::IRBuilder<>& builder, Type* type)
      : b_(builder), type_(type), single_(type->getScalarType()->isFloatTy()), mantissa_(single_ ? 23 : 52), bias_(single_ ? 127 : 1023) {
    int_type_ = llvm::Type::getIntNTy(b_.getContext(), single_ ? 32 : 64);
    if (auto* v = llvm::dyn_cast<llvm::VectorType>(type)) int_type_ = llvm::VectorType::get(int_type_, v->getElementCount());
  }

  Value* exp(Value* x) {
    Reduced e = reduce_exp(clamp(x, single_ ? -104 : -746, single_ ? 89 : 710), tables::exp_f32);
    // Scaled in two halves, so that neither overflows and a subnormal result is rounded once; the first while the polynomial is made.
    // Exponents of the halves add up to n + 2 bias; shifted up, what overflows is gone from the difference again.
    Value* u = b_.CreateAdd(e.n, ki(2 * (bias_ + 1)));
    const int64_t one = int64_t{1} << mantissa_;
    Value* first = b_.CreateSub(b_.CreateShl(b_.CreateLShr(u, ki(1)), ki(mantissa_)), ki(one));
    Value* second = b_.CreateSub(b_.CreateSub(b_.CreateShl(u, ki(mantissa_)), ki(2 * one)), first);
    first = b_.CreateBitCast(first, type_);
    Value* linear = b_.CreateFMul(b_.CreateFAdd(e.r, k(1)), first);
    Value* square = b_.CreateFMul(b_.CreateFMul(e.r, e.r), first);
    Value* p = fma(e.q, square, linear);
    return b_.CreateFMul(p, b_.CreateBitCast(second, type_));
  }

  Value* expm1(Value* x) {
    Reduced e = reduce_exp(clamp(x, single_ ? -18 : -40, single_ ? 89 : 710), tables::expm1_f32);
    Value* half = power_of_two(b_.CreateAdd(e.n, ki(bias_ - 1)));  // 2^n / 2: n = 128 is still a power of two
    Value* y = fma(half, fma(b_.CreateFMul(e.r, e.r), e.q, e.r), b_.CreateFSub(half, k(0.5)));
    return b_.CreateSelect(tiny(x), x, b_.CreateFAdd(y, y));
  }

  // tanh|x| = t / (t + 2), t = expm1(2|x|). Three roundings follow, so the reduced argument's own is made good.
  Value* tanh(Value* x) {
    double limit = single_ ? 9.5 : 20;  // from here on 1 after rounding
    Value* y = abs(x);
    y = b_.CreateSelect(b_.CreateFCmpOGT(y, k(limit)), k(limit), y);
    Reduced e = reduce_exp(b_.CreateFAdd(y, y), tables::expm1_f32);
    Value* s = power_of_two(b_.CreateAdd(e.n, ki(bias_)));
    Value* expm1_r = b_.CreateFAdd(e.r, fma(b_.CreateFMul(e.r, e.r), e.q, rounding_of(e)));
    Value* t = fma(s, expm1_r, b_.CreateFSub(s, k(1)));
    return copysign(b_.CreateFDiv(t, b_.CreateFAdd(t, k(2))), x);
  }

  Value* log(Value* x) {
    Value* subnormal = b_.CreateFCmpOLT(x, k(std::ldexp(1.0, 1 - bias_)));
    Value* scaled = b_.CreateSelect(subnormal, b_.CreateFMul(x, k(std::ldexp(1.0, mantissa_ + 1))), x);
    Value* shift = b_.CreateSelect(subnormal, k(mantissa_ + 1), k(0));
    Mantissa m = split(scaled);
    Value* y = log_of(b_.CreateFSub(m.m, k(1)), b_.CreateFSub(exponent(m), shift));
    y = b_.CreateSelect(b_.CreateFCmpOLT(x, k(infinity)), y, x);  // infinity and NaN are their own
    return at_pole(y, x, 0);
  }

  // log(1 + x), 1 + x = u + c exactly, u = m 2^e: the rounding error c goes into the mantissa.
  Value* log1p(Value* x) {
    Value* u = b_.CreateFAdd(x, k(1));
    Value* back = b_.CreateFSub(u, k(1));
    Value* c = b_.CreateFAdd(b_.CreateFSub(k(1), b_.CreateFSub(u, back)), b_.CreateFSub(x, back));
    Mantissa m = split(u);
    // 2^(1-e) c/2: e may be one more than 2^-e has room for.
    Value* scale = power_of_two(b_.CreateSub(ki(2 * bias_ + 1), m.biased));
    Value* y = log_of(fma(b_.CreateFMul(c, k(0.5)), scale, b_.CreateFSub(m.m, k(1))), exponent(m));
    Value* ordinary = b_.CreateAnd(b_.CreateFCmpOLT(x, k(infinity)), b_.CreateNot(tiny(x)));
    return at_pole(b_.CreateSelect(ordinary, y, x), x, -1);
  }

  Value* sin_cos(Value* x, bool cosine) {
    Value* y = single_ ? sin_cos_single(x, cosine) : sin_cos_double(x, cosine);
    if (!cosine) y = b_.CreateSelect(tiny(x), x, y);  // keeps -0
    return large_angles(x, y, cosine);
  }

  Value* erf(Value* x) {
    if (!single_) return per_lane("erf", {x});
    Value* a = abs(x);
    Value* small = fma(poly(tables::erf_small_f32, b_.CreateFMul(x, x)), x, x);
    Value* large = b_.CreateFAdd(poly(tables::erf_large_f32, b_.CreateFSub(a, k(2.5))), k(1));
    large = b_.CreateSelect(b_.CreateFCmpOGT(a, k(3.92)), k(1), large);  // 1 after rounding
    return b_.CreateSelect(b_.CreateFCmpOLT(a, k(1)), small, copysign(large, x));
  }

  Value* rsqrt(Value* x) { return b_.CreateFDiv(k(1), b_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x)); }

  Value* pow(Value* x, Value* y) {
    if (!single_) return per_lane("pow", {x, y});
    Value* magnitude = pow_magnitude(abs(x), y);
    Value* whole = b_.CreateFCmpOEQ(floor(y), y);
    Value* half = b_.CreateFMul(y, k(0.5));
    Value* odd = b_.CreateAnd(whole, b_.CreateFCmpUNE(floor(half), half));
    Value* negative = b_.CreateICmpSLT(bits(x), ki(0));
    Value* result = b_.CreateSelect(b_.CreateAnd(negative, odd), b_.CreateFNeg(magnitude), magnitude);
    // A negative finite base with a fractional exponent has no real power.
    Value* none = b_.CreateAnd(b_.CreateAnd(b_.CreateFCmpOLT(x, k(0)), b_.CreateFCmpOGT(x, k(-infinity))), b_.CreateNot(whole));
    result = b_.CreateSelect(none, k(nan_value), result);
    result = b_.CreateSelect(b_.CreateFCmpUNO(x, y), k(nan_value), result);
    Value* one = b_.CreateOr(b_.CreateFCmpOEQ(y, k(0)), b_.CreateFCmpOEQ(x, k(1)));
    one = b_.CreateOr(one, b_.CreateAnd(b_.CreateFCmpOEQ(x, k(-1)), b_.CreateFCmpOEQ(abs(y), k(infinity))));
    return b_.CreateSelect(one, k(1), result);
  }

  // ---- pieces of pow and sin, in f64 ----

  // |x|^y of f32 operands through f64: 44 good bits of the logarithm leave no visible error after rounding to f32.
  Value* pow_magnitude(Value* x, Value* y) {
    Math wide(b_, widened());
    Value* result = wide.exp2_of_product(b_.CreateFPExt(x, widened()), b_.CreateFPExt(y, widened()));
    return b_.CreateFPTrunc(result, type_);
  }

  Value* exp2_of_product(Value* x, Value* y) {
    Mantissa m = split(x);
    Value* f = b_.CreateFSub(m.m, k(1));
    Value* s = b_.CreateFDiv(f, b_.CreateFAdd(f, k(2)));
    Value* z = b_.CreateFMul(s, s);
    Value* log_m = fma(b_.CreateFMul(s, z), poly(tables::atanh_pow, z), b_.CreateFAdd(s, s));
    Value* log2_x = fma(log_m, k(log2_e), exponent(m));
    log2_x = b_.CreateSelect(b_.CreateFCmpOEQ(x, k(0)), k(-infinity), log2_x);
    log2_x = b_.CreateSelect(b_.CreateFCmpOEQ(x, k(infinity)), k(infinity), log2_x);
    Value* t = clamp(b_.CreateFMul(y, log2_x), -200, 200);
    Value* shifted = b_.CreateFAdd(t, k(magic()));
    Value* n = b_.CreateFSub(shifted, k(magic()));
    Value* scale = power_of_two(b_.CreateAdd(integer_part(shifted), ki(bias_)));
    return b_.CreateFMul(poly(tables::exp2_pow, b_.CreateFSub(t, n)), scale);
  }

 private:
  struct Reduced {
    Value *r, *q;           // e^r = 1 + r + r^2 q
    Value* n;               // integer
    Value *multiple, *part; // n as a float; what r was before n's multiple of the low part of ln 2 was taken off
  };
  struct Mantissa {
    Value* m;       // in [sqrt(1/2), sqrt(2))
    Value* biased;  // exponent + bias, integer
  };

  Value* k(double v) { return llvm::ConstantFP::get(type_, v); }
  Value* ki(int64_t v) { return llvm::ConstantInt::get(int_type_, static_cast<uint64_t>(v), true); }
  Value* fma(Value* a, Value* b, Value* c) { return b_.CreateIntrinsic(llvm::Intrinsic::fma, {type_}, {a, b, c}); }
  Value* abs(Value* x) { return b_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x); }
  Value* floor(Value* x) { return b_.CreateUnaryIntrinsic(llvm::Intrinsic::floor, x); }
  Value* copysign(Value* x, Value* sign) { return b_.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, x, sign); }
  Value* bits(Value* x) { return b_.CreateBitCast(x, int_type_); }
  Value* power_of_two(Value* biased) { return b_.CreateBitCast(b_.CreateShl(biased, ki(mantissa_)), type_); }
  Value* clamp(Value* x, double lo, double hi) {
    x = b_.CreateSelect(b_.CreateFCmpOGT(x, k(hi)), k(hi), x);
    return b_.CreateSelect(b_.CreateFCmpOLT(x, k(lo)), k(lo), x);
  }
  // So small that x is the rounded value of every odd function with slope 1.
  Value* tiny(Value* x) { return b_.CreateFCmpOLT(abs(x), k(std::ldexp(1.0, single_ ? -25 : -54))); }
  Type* widened() {
    Type* wide = b_.getDoubleTy();
    if (auto* v = llvm::dyn_cast<llvm::VectorType>(type_)) return llvm::VectorType::get(wide, v->getElementCount());
    return wide;
  }

  // Adding 1.5 * 2^mantissa rounds to an integer, which then stands in the low bits.
  double magic() const { return std::ldexp(1.5, mantissa_); }
  Value* integer_part(Value* shifted) { return b_.CreateSub(bits(shifted), bits(k(magic()))); }

  template <size_t N>
  Value* poly(const double (&c)[N], Value* x) {
    Value* p = k(c[N - 1]);
    for (size_t i = N - 1; i-- > 0;) p = fma(p, x, k(c[i]));
    return p;
  }

  // By pairs of terms in x^2 (Estrin 1960): half as many steps wait for each other, for one product more.
  template <size_t N>
  Value* poly_by_pairs(const double (&c)[N], Value* x) {
    Value* square = b_.CreateFMul(x, x);
    Value* p = N % 2 ? k(c[N - 1]) : fma(k(c[N - 1]), x, k(c[N - 2]));
    for (size_t i = (N - 1) / 2 * 2; i >= 2; i -= 2) p = fma(p, square, fma(k(c[i - 1]), x, k(c[i - 2])));
    return p;
  }

  // exp needs a shorter polynomial in f32 than expm1.
  template <size_t N>
  Reduced reduce_exp(Value* x, const double (&single)[N]) {
    const double* ln2 = single_ ? tables::ln2_f32 : tables::ln2_f64;
    Value* shifted = fma(x, k(log2_e), k(magic()));
    Value* n = b_.CreateFSub(shifted, k(magic()));
    Value* part = fma(n, k(-ln2[0]), x);  // exact
    Value* r = fma(n, k(-ln2[1]), part);
    return {r, single_ ? poly_by_pairs(single, r) : poly_by_pairs(tables::expm1_f64, r), integer_part(shifted), n, part};
  }

  Value* rounding_of(const Reduced& e) {
    return fma(e.multiple, k(-(single_ ? tables::ln2_f32 : tables::ln2_f64)[1]), b_.CreateFSub(e.part, e.r));
  }

  // x positive and normal; anything else gives an arbitrary number.
  Mantissa split(Value* x) {
    Value* root = bits(k(std::sqrt(0.5)));
    int64_t one = int64_t{bias_} << mantissa_;
    Value* u = b_.CreateAdd(bits(x), b_.CreateSub(ki(one), root));
    Value* m = b_.CreateAdd(b_.CreateAnd(u, ki((int64_t{1} << mantissa_) - 1)), root);
    return {b_.CreateBitCast(m, type_), b_.CreateLShr(u, ki(mantissa_))};
  }

  // The exponent as a float, without an int-to-float conversion (64-bit ones need AVX-512).
  Value* exponent(const Mantissa& m) {
    double base = std::ldexp(1.0, mantissa_);
    Value* biased = b_.CreateBitCast(b_.CreateOr(m.biased, bits(k(base))), type_);
    return b_.CreateFSub(biased, k(base + bias_));
  }

  // log(1 + f) + e ln 2
  Value* log_of(Value* f, Value* e) {
    if (single_) {
      Value* tail = b_.CreateFMul(b_.CreateFMul(f, f), fma(poly_by_pairs(tables::log_f32, f), f, k(-0.5)));
      return fma(e, k(tables::ln2_f32[0]), b_.CreateFAdd(f, fma(e, k(tables::ln2_f32[1]), tail)));
    }
    Value* s = b_.CreateFDiv(f, b_.CreateFAdd(f, k(2)));
    Value* z = b_.CreateFMul(s, s);
    Value* half_square = b_.CreateFMul(b_.CreateFMul(f, f), k(0.5));
    Value* tail = fma(e, k(tables::ln2_f64[1]), b_.CreateFMul(s, fma(z, poly(tables::atanh_f64, z), half_square)));
    return fma(e, k(tables::ln2_f64[0]), b_.CreateFSub(f, b_.CreateFSub(half_square, tail)));
  }

  // A logarithm's value at its pole and below. NaN is written by setting every bit: cheaper than a select on x86.
  Value* at_pole(Value* y, Value* x, double pole) {
    y = b_.CreateSelect(b_.CreateFCmpOEQ(x, k(pole)), k(-infinity), y);
    Value* below = b_.CreateSExt(b_.CreateFCmpOLT(x, k(pole)), int_type_);
    return b_.CreateBitCast(b_.CreateOr(bits(y), below), type_);
  }

  // Picks sine or cosine of the reduced angle by quadrant, an integer of this type's width.
  Value* by_quadrant(Value* quadrant, Value* sine, Value* cosine, bool want_cosine) {
    if (want_cosine) quadrant = b_.CreateAdd(quadrant, ki(1));
    Value* odd = b_.CreateICmpNE(b_.CreateAnd(quadrant, ki(1)), ki(0));
    Value* sign = b_.CreateShl(b_.CreateAnd(quadrant, ki(2)), ki(single_ ? 30 : 62));
    return b_.CreateBitCast(b_.CreateXor(bits(b_.CreateSelect(odd, cosine, sine)), sign), type_);
  }

  Value* sin_cos_single(Value* x, bool cosine) {
    Math wide(b_, widened());
    Value* w = b_.CreateFPExt(x, widened());
    Value* shifted = wide.fma(w, wide.k(two_over_pi), wide.k(wide.magic()));
    Value* n = b_.CreateFSub(shifted, wide.k(wide.magic()));
    Value* r = wide.fma(n, wide.k(-tables::half_pi[1]), wide.fma(n, wide.k(-tables::half_pi[0]), w));
    r = b_.CreateFPTrunc(r, type_);
    Value* z = b_.CreateFMul(r, r);
    Value* s = fma(b_.CreateFMul(r, z), poly(tables::sin_f32, z), r);
    Value* c = fma(b_.CreateFMul(z, z), poly(tables::cos_f32, z), fma(z, k(-0.5), k(1)));
    return by_quadrant(b_.CreateTrunc(wide.bits(shifted), int_type_), s, c, cosine);
  }

  // The first product is exact with fma, since the difference is below 1 and a multiple of 2^-53; the rounding error of the
  // second is kept in `low`.
  Value* sin_cos_double(Value* x, bool cosine) {
    Value* shifted = fma(x, k(two_over_pi), k(magic()));
    Value* n = b_.CreateFSub(shifted, k(magic()));
    Value* first = fma(n, k(-tables::half_pi[0]), x);
    Value* second = fma(n, k(-tables::half_pi[1]), first);
    Value* low = fma(n, k(-tables::half_pi[1]), b_.CreateFSub(first, second));
    low = fma(n, k(-tables::half_pi[2]), low);
    Value* r = b_.CreateFAdd(second, low);
    low = b_.CreateFAdd(b_.CreateFSub(second, r), low);
    Value* z = b_.CreateFMul(r, r);
    Value* s = b_.CreateFAdd(r, fma(b_.CreateFMul(r, z), poly(tables::sin_f64, z), low));
    Value* half = b_.CreateFMul(z, k(0.5));
    Value* w = b_.CreateFSub(k(1), half);
    Value* rest = fma(b_.CreateFMul(z, z), poly(tables::cos_f64, z), b_.CreateFNeg(b_.CreateFMul(r, low)));
    Value* c = b_.CreateFAdd(w, b_.CreateFAdd(b_.CreateFSub(b_.CreateFSub(k(1), w), half), rest));
    return by_quadrant(bits(shifted), s, c, cosine);
  }

  // Lanes whose angle is too large for the reduction take the C library's value, the others keep theirs, so that a lane's bits follow
  // its own operand alone.
  Value* large_angles(Value* x, Value* y, bool cosine) {
    Value* large = b_.CreateFCmpOGT(abs(x), k(0x1p27));
    Value* any = type_->isVectorTy() ? b_.CreateOrReduce(large) : large;
    llvm::BasicBlock* fast = b_.GetInsertBlock();
    llvm::Function* f = fast->getParent();
    auto* slow = llvm::BasicBlock::Create(b_.getContext(), "angle.large", f);
    auto* done = llvm::BasicBlock::Create(b_.getContext(), "angle.done", f);
    b_.CreateCondBr(any, slow, done, llvm::MDBuilder(b_.getContext()).createBranchWeights(1, 1 << 20));
    b_.SetInsertPoint(slow);
    Value* exact = per_lane(cosine ? "cos" : "sin", {x});
    Value* mixed = b_.CreateSelect(large, exact, y);
    b_.CreateBr(done);
    b_.SetInsertPoint(done);
    llvm::PHINode* phi = b_.CreatePHI(type_, 2);
    phi->addIncoming(y, fast);
    phi->addIncoming(mixed, slow);
    return phi;
  }

  // A double function of the C library, lane by lane.
  Value* per_lane(const char* function, ArrayRef<Value*> args) {
    Type* d = b_.getDoubleTy();
    llvm::SmallVector<Type*, 2> types(args.size(), d);
    llvm::Module* module = b_.GetInsertBlock()->getModule();
    llvm::FunctionCallee callee = module->getOrInsertFunction(function, llvm::FunctionType::get(d, types, false));
    auto* declaration = llvm::cast<llvm::Function>(callee.getCallee());
    declaration->setDoesNotThrow();
    declaration->setDoesNotAccessMemory();
    auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type_);
    Value* result = llvm::PoisonValue::get(type_);
    for (unsigned i = 0; i < (vector ? vector->getNumElements() : 1); ++i) {
      llvm::SmallVector<Value*, 2> lane;
      for (Value* a : args) {
        Value* v = vector ? b_.CreateExtractElement(a, i) : a;
        lane.push_back(single_ ? b_.CreateFPExt(v, d) : v);
      }
      Value* v = b_.CreateCall(callee, lane);
      if (single_) v = b_.CreateFPTrunc(v, type_->getScalarType());
      result = vector ? b_.CreateInsertElement(result, v, i) : v;
    }
    return result;
  }

  llvm::IRBuilder<>& b_;
  Type* type_;
  Type* int_type_;
  bool single_;
  int mantissa_, bias_;
};

}  // namespace

bool is_math(ScalarOp op) {
  switch (op) {
    case ScalarOp::Exp:
    case ScalarOp::Expm1:
    case ScalarOp::Log:
    case ScalarOp::Log1p:
    case ScalarOp::Sin:
    case ScalarOp::Cos:
    case ScalarOp::Tanh:
    case ScalarOp::Erf:
    case ScalarOp::Rsqrt:
    case ScalarOp::Pow: return true;
    default: return false;
  }
}

llvm::Value* emit_math(llvm::IRBuilder<>& builder, ScalarOp op, llvm::ArrayRef<llvm::Value*> args) {
  Math m(builder, args[0]->getType());
  switch (op) {
    case ScalarOp::Exp: return m.exp(args[0]);
    case ScalarOp::Expm1: return m.expm1(args[0]);
    case ScalarOp::Log: return m.log(args[0]);
    case ScalarOp::Log1p: return m.log1p(args[0]);
    case ScalarOp::Sin: return m.sin_cos(args[0], false);
    case ScalarOp::Cos: return m.sin_cos(args[0], true);
    case ScalarOp::Tanh: return m.tanh(args[0]);
    case ScalarOp::Erf: return m.erf(args[0]);
    case ScalarOp::Rsqrt: return m.rsqrt(args[0]);
    case ScalarOp::Pow: return m.pow(args[0], args[1]);
    default: GRADC_BUG("{} is not a function of the vector mathematics", name(op));
  }
}

}  // namespace gradc
