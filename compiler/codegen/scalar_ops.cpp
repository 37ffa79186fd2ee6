#include <llvm/IR/Intrinsics.h>

#include "compiler/codegen/emitter.h"
#include "compiler/codegen/vector_math.h"
#include "compiler/support/error.h"

// The scalar opcodes of compiler/graph/scalar.h as instructions, on scalars and vectors alike.
namespace gradc {
namespace {

using llvm::Value;

Value* call(Builder& b, llvm::Intrinsic::ID id, Value* x) { return b.CreateUnaryIntrinsic(id, x); }
Value* call(Builder& b, llvm::Intrinsic::ID id, Value* x, Value* y) { return b.CreateBinaryIntrinsic(id, x, y); }

Value* constant_like(Value* v, int64_t c) { return llvm::ConstantInt::get(v->getType(), static_cast<uint64_t>(c), true); }

// The constant every lane of v holds, if it is one and not NaN.
const llvm::APFloat* number(Value* v) {
  auto* c = llvm::dyn_cast<llvm::Constant>(v);
  if (c && v->getType()->isVectorTy()) c = c->getSplatValue();
  auto* f = llvm::dyn_cast_or_null<llvm::ConstantFP>(c);
  return f && !f->isNaN() ? &f->getValueAPF() : nullptr;
}

// x86's max(x, y) is x > y ? x : y. Asked both ways round, the answers differ only where a zero meets the other zero or NaN is about:
// and-ing them picks +0 and or-ing -0; or keeps a NaN, and after and it is put back by setting every bit.
Value* extreme_of_vectors(Builder& b, bool max, Value* x, Value* y) {
  llvm::Type* type = x->getType();
  llvm::Type* bits = llvm::VectorType::get(b.getIntNTy(type->getScalarSizeInBits()), llvm::cast<llvm::VectorType>(type)->getElementCount());
  auto pick = [&](Value* a, Value* c) { return b.CreateBitCast(b.CreateSelect(max ? b.CreateFCmpOGT(a, c) : b.CreateFCmpOLT(a, c), a, c), bits); };
  Value *one = pick(x, y), *other = pick(y, x);
  if (!max) return b.CreateBitCast(b.CreateOr(one, other), type);
  Value* unordered = b.CreateSExt(b.CreateFCmpUNO(x, y), bits);
  return b.CreateBitCast(b.CreateOr(b.CreateAnd(one, other), unordered), type);
}

// Against a constant two instructions do. The comparison is true on NaN, and chosen so that of two zeros the right one is kept.
Value* extreme(Builder& b, bool max, Value* x, Value* y) {
  if (number(x)) std::swap(x, y);
  const llvm::APFloat* c = number(y);
  if (!c && x->getType()->isVectorTy()) return extreme_of_vectors(b, max, x, y);
  if (!c) return call(b, max ? llvm::Intrinsic::maximum : llvm::Intrinsic::minimum, x, y);
  bool keep_equal = c->isZero() && c->isNegative() == max;
  Value* keep = max ? (keep_equal ? b.CreateFCmpUGE(x, y) : b.CreateFCmpUGT(x, y)) : (keep_equal ? b.CreateFCmpULE(x, y) : b.CreateFCmpULT(x, y));
  return b.CreateSelect(keep, x, y);
}

// x86 traps on division by zero and on the most negative number by -1; neither reaches the instruction.
Value* int_divide(Builder& b, Value* x, Value* y) {
  Value* zero = b.CreateICmpEQ(y, constant_like(y, 0));
  Value* minus = b.CreateICmpEQ(y, constant_like(y, -1));
  Value* quotient = b.CreateSDiv(x, b.CreateSelect(b.CreateOr(zero, minus), constant_like(y, 1), y));
  return b.CreateSelect(zero, constant_like(y, 0), b.CreateSelect(minus, b.CreateNeg(x), quotient));
}

Value* int_remainder(Builder& b, Value* x, Value* y) {
  Value* trivial = b.CreateOr(b.CreateICmpEQ(y, constant_like(y, 0)), b.CreateICmpEQ(y, constant_like(y, -1)));
  return b.CreateSRem(x, b.CreateSelect(trivial, constant_like(y, 1), y));  // x % 1 = 0
}

// i64 power by squaring, as a function of the module.
llvm::Function* power_function(llvm::Module& module) {
  if (llvm::Function* f = module.getFunction("gradc.ipow")) return f;
  llvm::LLVMContext& c = module.getContext();
  llvm::Type* t = llvm::Type::getInt64Ty(c);
  auto* f = llvm::Function::Create(llvm::FunctionType::get(t, {t, t}, false), llvm::Function::InternalLinkage, "gradc.ipow", module);
  f->setDoesNotThrow();
  f->setDoesNotAccessMemory();
  Builder b(llvm::BasicBlock::Create(c, "entry", f));
  auto* head = llvm::BasicBlock::Create(c, "head", f);
  auto* body = llvm::BasicBlock::Create(c, "body", f);
  auto* done = llvm::BasicBlock::Create(c, "done", f);
  Value *base = f->getArg(0), *exponent = f->getArg(1);
  Value* negative = b.CreateICmpSLT(exponent, b.getInt64(0));
  Value* first = b.CreateSelect(negative, b.getInt64(0), exponent);
  Value* start = b.CreateSelect(negative, b.getInt64(0), b.getInt64(1));
  llvm::BasicBlock* entry = b.GetInsertBlock();
  b.CreateBr(head);
  b.SetInsertPoint(head);
  auto *result = b.CreatePHI(t, 2), *square = b.CreatePHI(t, 2), *rest = b.CreatePHI(t, 2);
  b.CreateCondBr(b.CreateICmpEQ(rest, b.getInt64(0)), done, body);
  b.SetInsertPoint(body);
  Value* product = b.CreateMul(result, square);
  Value* odd = b.CreateICmpNE(b.CreateAnd(rest, b.getInt64(1)), b.getInt64(0));
  result->addIncoming(start, entry);
  result->addIncoming(b.CreateSelect(odd, product, result), body);
  square->addIncoming(base, entry);
  square->addIncoming(b.CreateMul(square, square), body);
  rest->addIncoming(first, entry);
  rest->addIncoming(b.CreateLShr(rest, b.getInt64(1)), body);
  b.CreateBr(head);
  b.SetInsertPoint(done);
  b.CreateRet(result);
  return f;
}

Value* int_power(Builder& b, Value* x, Value* y) {
  llvm::Function* f = power_function(*b.GetInsertBlock()->getModule());
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(x->getType());
  if (!vector) return b.CreateCall(f, {x, y});
  Value* result = llvm::PoisonValue::get(vector);
  for (unsigned i = 0; i < vector->getNumElements(); ++i) {
    Value* lane = b.CreateCall(f, {b.CreateExtractElement(x, i), b.CreateExtractElement(y, i)});
    result = b.CreateInsertElement(result, lane, i);
  }
  return result;
}

llvm::Type* with_lanes_of(llvm::Type* scalar, Value* like) {
  auto* vector = llvm::dyn_cast<llvm::VectorType>(like->getType());
  return vector ? llvm::VectorType::get(scalar, vector->getElementCount()) : scalar;
}

Value* cast(Builder& b, Value* x, Element from, Element to) {
  if (from == to) return x;
  if (to == Element::Bool) {
    llvm::Constant* zero = llvm::Constant::getNullValue(x->getType());
    return is_float(from) ? b.CreateFCmpUNE(x, zero) : b.CreateICmpNE(x, zero);
  }
  llvm::Type* scalar = to == Element::Int ? b.getInt64Ty() : to == Element::F32 ? b.getFloatTy() : b.getDoubleTy();
  llvm::Type* type = with_lanes_of(scalar, x);
  if (from == Element::Bool) {
    llvm::Constant* one = is_float(to) ? llvm::ConstantFP::get(type, 1) : llvm::ConstantInt::get(type, 1);
    return b.CreateSelect(x, one, llvm::Constant::getNullValue(type));
  }
  if (from == Element::Int) return b.CreateSIToFP(x, type);
  if (to == Element::Int) return b.CreateIntrinsic(llvm::Intrinsic::fptosi_sat, {type, x->getType()}, {x});
  return to == Element::F64 ? b.CreateFPExt(x, type) : b.CreateFPTrunc(x, type);
}

Value* compare(Builder& b, ScalarOp op, Element element, Value* x, Value* y) {
  bool floats = is_float(element), is_signed = element == Element::Int;
  switch (op) {
    case ScalarOp::Lt: return floats ? b.CreateFCmpOLT(x, y) : is_signed ? b.CreateICmpSLT(x, y) : b.CreateICmpULT(x, y);
    case ScalarOp::Le: return floats ? b.CreateFCmpOLE(x, y) : is_signed ? b.CreateICmpSLE(x, y) : b.CreateICmpULE(x, y);
    case ScalarOp::Eq: return floats ? b.CreateFCmpOEQ(x, y) : b.CreateICmpEQ(x, y);
    default: return floats ? b.CreateFCmpUNE(x, y) : b.CreateICmpNE(x, y);
  }
}

Value* float_op(Builder& b, ScalarOp op, llvm::ArrayRef<Value*> a) {
  switch (op) {
    case ScalarOp::Add: return b.CreateFAdd(a[0], a[1]);
    case ScalarOp::Sub: return b.CreateFSub(a[0], a[1]);
    case ScalarOp::Mul: return b.CreateFMul(a[0], a[1]);
    case ScalarOp::Div: return b.CreateFDiv(a[0], a[1]);
    case ScalarOp::Rem: return b.CreateFRem(a[0], a[1]);
    case ScalarOp::Neg: return b.CreateFNeg(a[0]);
    case ScalarOp::Abs: return call(b, llvm::Intrinsic::fabs, a[0]);
    case ScalarOp::Min: return extreme(b, false, a[0], a[1]);
    case ScalarOp::Max: return extreme(b, true, a[0], a[1]);
    case ScalarOp::Fma: return b.CreateIntrinsic(llvm::Intrinsic::fma, {a[0]->getType()}, a);
    case ScalarOp::Sqrt: return call(b, llvm::Intrinsic::sqrt, a[0]);
    case ScalarOp::Floor: return call(b, llvm::Intrinsic::floor, a[0]);
    case ScalarOp::Ceil: return call(b, llvm::Intrinsic::ceil, a[0]);
    case ScalarOp::Round: return call(b, llvm::Intrinsic::roundeven, a[0]);
    default: GRADC_BUG("scalar operation {} on floats", name(op));
  }
}

Value* int_op(Builder& b, ScalarOp op, llvm::ArrayRef<Value*> a) {
  switch (op) {
    case ScalarOp::Add: return b.CreateAdd(a[0], a[1]);
    case ScalarOp::Sub: return b.CreateSub(a[0], a[1]);
    case ScalarOp::Mul: return b.CreateMul(a[0], a[1]);
    case ScalarOp::Div: return int_divide(b, a[0], a[1]);
    case ScalarOp::Rem: return int_remainder(b, a[0], a[1]);
    case ScalarOp::Neg: return b.CreateNeg(a[0]);
    case ScalarOp::Abs: return call(b, llvm::Intrinsic::abs, a[0], b.getFalse());
    case ScalarOp::Min: return call(b, llvm::Intrinsic::smin, a[0], a[1]);
    case ScalarOp::Max: return call(b, llvm::Intrinsic::smax, a[0], a[1]);
    case ScalarOp::Fma: return b.CreateAdd(b.CreateMul(a[0], a[1]), a[2]);
    case ScalarOp::Pow: return int_power(b, a[0], a[1]);
    case ScalarOp::Floor:
    case ScalarOp::Ceil:
    case ScalarOp::Round: return a[0];
    default: GRADC_BUG("scalar operation {} on integers", name(op));
  }
}

Value* bool_op(Builder& b, ScalarOp op, llvm::ArrayRef<Value*> a) {
  switch (op) {
    case ScalarOp::Add:
    case ScalarOp::Max: return b.CreateOr(a[0], a[1]);
    case ScalarOp::Mul:
    case ScalarOp::Min: return b.CreateAnd(a[0], a[1]);
    default: GRADC_BUG("scalar operation {} on truth values", name(op));
  }
}

Value* truth(Builder& b, Value* x, Element element) { return cast(b, x, element, Element::Bool); }

}  // namespace

llvm::Value* emit_constant(Builder& b, Element element, double value, int width) {
  llvm::Constant* c = nullptr;
  switch (element) {
    case Element::Bool: c = b.getInt1(value != 0); break;
    case Element::Int: {
      double limit = 0x1p63;  // saturates like Cast
      int64_t i = value != value ? 0 : value >= limit ? INT64_MAX : value <= -limit ? INT64_MIN : static_cast<int64_t>(value);
      c = b.getInt64(static_cast<uint64_t>(i));
      break;
    }
    case Element::F32: c = llvm::ConstantFP::get(b.getContext(), llvm::APFloat(static_cast<float>(value))); break;
    case Element::F64: c = llvm::ConstantFP::get(b.getContext(), llvm::APFloat(value)); break;
    case Element::None: GRADC_BUG("a scan is no scalar");
  }
  return width > 1 ? llvm::ConstantVector::getSplat(llvm::ElementCount::getFixed(static_cast<unsigned>(width)), c) : c;
}

llvm::Value* emit_scalar_op(Builder& b, ScalarOp op, Element element, Element to, llvm::ArrayRef<llvm::Value*> args) {
  switch (op) {
    case ScalarOp::Cast: return cast(b, args[0], element, to);
    case ScalarOp::Select: return b.CreateSelect(args[0], args[1], args[2]);
    case ScalarOp::Lt:
    case ScalarOp::Le:
    case ScalarOp::Eq:
    case ScalarOp::Ne: return compare(b, op, element, args[0], args[1]);
    case ScalarOp::And: return b.CreateAnd(truth(b, args[0], element), truth(b, args[1], element));
    case ScalarOp::Or: return b.CreateOr(truth(b, args[0], element), truth(b, args[1], element));
    case ScalarOp::Not: return b.CreateNot(truth(b, args[0], element));
    default: break;
  }
  if (is_float(element)) return is_math(op) ? emit_math(b, op, args) : float_op(b, op, args);
  return element == Element::Int ? int_op(b, op, args) : bool_op(b, op, args);
}

void mark_final_loop(llvm::Instruction* latch) {
  llvm::LLVMContext& c = latch->getContext();
  auto flag = [&](const char* text) { return llvm::MDNode::get(c, {llvm::MDString::get(c, text)}); };
  auto* id = llvm::MDNode::getDistinct(c, {nullptr, flag("llvm.loop.unroll.disable"),
                                           llvm::MDNode::get(c, {llvm::MDString::get(c, "llvm.loop.vectorize.enable"),
                                                                 llvm::ConstantAsMetadata::get(llvm::ConstantInt::getFalse(c))})});
  id->replaceOperandWith(0, id);
  latch->setMetadata(llvm::LLVMContext::MD_loop, id);
}

}  // namespace gradc
