#include "compiler/codegen/emitter.h"

#include <algorithm>

#include <llvm/IR/DebugInfoMetadata.h>

#include "compiler/support/error.h"

namespace gradc {
namespace {

using llvm::Value;

int64_t lane_stride(const Affine& at, const Lanes& lanes) {
  return lanes.width > 1 && lanes.dim >= 0 ? at.strides[static_cast<size_t>(lanes.dim)] : 0;
}

// Up to here, elements that lie apart are read and written faster one by one than by a gather.
constexpr int few_lanes = 4;

bool is_vector(Value* v) { return v->getType()->isVectorTy(); }

llvm::Constant* iota(Builder& b, int width, int64_t stride) {
  llvm::SmallVector<uint64_t, 16> steps;
  for (int i = 0; i < width; ++i) steps.push_back(static_cast<uint64_t>(i * stride));
  return llvm::ConstantDataVector::get(b.getContext(), steps);
}

}  // namespace

StatementEmitter::StatementEmitter(Builder& builder, const KernelBody& body, Value* buffers, llvm::DILocalScope* scope)
    : b_(builder), body_(body), scope_(scope) {
  for (size_t i = 0; i < body.slots.size(); ++i) {
    Value* place = b_.CreateConstInBoundsGEP1_64(b_.getPtrTy(), buffers, i);
    slots_.push_back(b_.CreateAlignedLoad(b_.getPtrTy(), place, llvm::Align(8), fmt::format("slot{}", i)));
  }
  for (size_t i = 0; i < site_count(body); ++i) {
    Value* place = b_.CreateConstInBoundsGEP1_64(b_.getPtrTy(), buffers, body.slots.size() + i);
    sites_.push_back(b_.CreateAlignedLoad(b_.getInt64Ty(), place, llvm::Align(8), fmt::format("site{}", i)));
  }
  unsigned line = 1;
  size_t count = 0;
  for (const Stmt* s : statements(body)) {
    lines_[s] = line++;
    count = std::max(count, static_cast<size_t>(s->value + 1));
  }
  values.resize(count, nullptr);
}

void StatementEmitter::locate(const Stmt* stmt) {
  if (!scope_) return;
  unsigned line = stmt ? lines_.at(stmt) : 0;
  b_.SetCurrentDebugLocation(llvm::DILocation::get(b_.getContext(), line, 0, scope_));
}

llvm::Type* StatementEmitter::register_type(Element element, int width) const {
  llvm::Type* t = nullptr;
  switch (element) {
    case Element::Bool: t = b_.getInt1Ty(); break;
    case Element::Int: t = b_.getInt64Ty(); break;
    case Element::F32: t = b_.getFloatTy(); break;
    case Element::F64: t = b_.getDoubleTy(); break;
    case Element::None: GRADC_BUG("a scan is no scalar");
  }
  return width > 1 ? llvm::FixedVectorType::get(t, static_cast<unsigned>(width)) : t;
}

llvm::Type* StatementEmitter::memory_type(Element element, int width) const {
  if (element != Element::Bool) return register_type(element, width);
  llvm::Type* t = b_.getInt8Ty();
  return width > 1 ? llvm::FixedVectorType::get(t, static_cast<unsigned>(width)) : t;
}

Value* StatementEmitter::to_register(Value* value, Element element) {
  return element == Element::Bool ? b_.CreateICmpNE(value, llvm::Constant::getNullValue(value->getType())) : value;
}

Value* StatementEmitter::to_memory(Value* value, Element element) {
  int width = is_vector(value) ? static_cast<int>(llvm::cast<llvm::FixedVectorType>(value->getType())->getNumElements()) : 1;
  return element == Element::Bool ? b_.CreateZExt(value, memory_type(element, width)) : value;
}

Value* StatementEmitter::spread(Value* value, int width) {
  if (width == 1 || is_vector(value)) return value;
  auto count = static_cast<unsigned>(width);
  if (auto* c = llvm::dyn_cast<llvm::Constant>(value)) return llvm::ConstantVector::getSplat(llvm::ElementCount::getFixed(count), c);
  Value*& known = spread_[{value, width}];
  if (known) return known;
  auto* definition = llvm::dyn_cast<llvm::Instruction>(value);
  if (!definition) return known = b_.CreateVectorSplat(count, value);
  // Beside the definition, which may lie outside the loop we are in.
  Builder::InsertPointGuard guard(b_);
  auto after = definition->getInsertionPointAfterDef();
  b_.SetInsertPoint(definition->getParent(), after ? *after : definition->getParent()->end());  // none: it is the last so far
  b_.SetCurrentDebugLocation(definition->getDebugLoc());
  return known = b_.CreateVectorSplat(count, value);
}

int StatementEmitter::width_of(const Stmt& stmt, const Lanes& lanes) const {
  if (lanes.width == 1) return 1;
  auto vector = [&](ValueId v) { return v >= 0 && is_vector(values[static_cast<size_t>(v)]); };
  bool varies = std::any_of(stmt.args.begin(), stmt.args.end(), vector);
  if (stmt.kind != StmtKind::Compute) {
    const Access& a = stmt.access;
    varies |= !a.at.strides.empty() && lane_stride(a.at, lanes) != 0;
    for (const Indirect& i : a.indirect) varies |= vector(i.index);
    for (const Guard& g : a.guards) varies |= lane_stride(g.at, lanes) != 0;
  }
  return varies ? lanes.width : 1;
}

void StatementEmitter::emit(const Stmt& stmt, Point& point, const Lanes& lanes, Value* starting) {
  locate(&stmt);
  int width = width_of(stmt, lanes);
  Value* result = nullptr;
  switch (stmt.kind) {
    case StmtKind::Load: result = load(stmt, point, lanes); break;
    case StmtKind::Store: store(stmt.access, values[static_cast<size_t>(stmt.args[0])], point, lanes); break;
    case StmtKind::Accumulate: accumulate(stmt, point, lanes, starting); break;
    case StmtKind::Compute: {
      if (stmt.op == ScalarOp::Const) {
        result = emit_constant(b_, stmt.type, stmt.constant, 1);
        break;
      }
      llvm::SmallVector<Value*, 3> args;
      for (size_t i = 0; i < static_cast<size_t>(arity(stmt.op)); ++i) args.push_back(arg(stmt, i, width));
      llvm::Type* t = args.back()->getType()->getScalarType();
      Element element = t->isFloatTy() ? Element::F32 : t->isDoubleTy() ? Element::F64 : t->isIntegerTy(1) ? Element::Bool : Element::Int;
      result = emit_scalar_op(b_, stmt.op, element, stmt.type, args);
      break;
    }
    case StmtKind::Index: {
      Value* i = affine_lanes(stmt.access.at, point, lanes, width);
      result = stmt.type == Element::Int ? i : emit_scalar_op(b_, ScalarOp::Cast, Element::Int, stmt.type, {i});
      break;
    }
    case StmtKind::Random: result = random(stmt, point, lanes, width); break;
    case StmtKind::Accumulator:
    case StmtKind::Yield: break;
    case StmtKind::Reduce:
    case StmtKind::ReduceIndex: GRADC_BUG("a reduction is not a statement of one point");
  }
  if (result) values[static_cast<size_t>(stmt.value)] = result;
}

Value* StatementEmitter::emit(const std::vector<Stmt>& stmts, Point& point, const Lanes& lanes) {
  Value* yielded = nullptr;
  for (const Stmt& s : stmts) {
    emit(s, point, lanes);
    if (s.kind == StmtKind::Yield) yielded = values[static_cast<size_t>(s.args[0])];
  }
  locate(nullptr);
  return yielded;
}

Value* StatementEmitter::affine_lanes(const Affine& at, Point& point, const Lanes& lanes, int width) {
  Value* base = point.linear(at);
  if (width == 1) return base;
  int64_t stride = lane_stride(at, lanes);
  Value* vector = b_.CreateVectorSplat(static_cast<unsigned>(width), base);
  return stride ? b_.CreateAdd(vector, iota(b_, width, stride)) : vector;
}

Value* StatementEmitter::guard_mask(const Guard& guard, Point& point, const Lanes& lanes, int width) {
  Value* at = affine_lanes(guard.at, point, lanes, width);
  auto constant = [&](int64_t c) { return llvm::ConstantInt::get(at->getType(), static_cast<uint64_t>(c), true); };
  Value* inside = b_.CreateICmpULT(at, constant(guard.limit * guard.step));  // unsigned: negative places are far outside
  if (guard.step > 1) inside = b_.CreateAnd(inside, b_.CreateICmpEQ(b_.CreateURem(at, constant(guard.step)), constant(0)));
  return inside;
}

void StatementEmitter::displacement(const Access& access, const Lanes& lanes, Value*& scalar, Value*& vector) {
  for (const Indirect& i : access.indirect) {
    Value* index = values[static_cast<size_t>(i.index)];
    auto constant = [&](int64_t c) { return llvm::ConstantInt::get(index->getType(), static_cast<uint64_t>(c), true); };
    index = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, index, constant(0));
    index = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, index, constant(std::max<int64_t>(i.limit - 1, 0)));
    if (i.stride != 1) index = b_.CreateMul(index, constant(i.stride));
    Value*& sum = lanes.width > 1 && is_vector(index) ? vector : scalar;
    sum = sum ? b_.CreateAdd(sum, index) : index;
  }
}

// Pointer to the first lane's element.
Value* StatementEmitter::place(const Access& a, Point& point, Value* displaced) {
  llvm::Type* element = memory_type(body_.slots[static_cast<size_t>(a.slot)].element);
  Value* pointer = point.address(a.slot, a.at);
  if (a.block != 0) pointer = b_.CreateGEP(element, pointer, point.block_times(a.block));
  return displaced ? b_.CreateGEP(element, pointer, displaced) : pointer;
}

Value* StatementEmitter::lane_pointers(Value* base, llvm::Type* element, int64_t stride, Value* displaced, int width) {
  Value* index = iota(b_, width, stride);
  if (displaced) index = stride ? b_.CreateAdd(displaced, index) : displaced;
  else if (std::abs(stride) * width <= INT32_MAX)  // 32-bit indices make a gather half as long
    index = llvm::ConstantExpr::getTrunc(llvm::cast<llvm::Constant>(index), llvm::FixedVectorType::get(b_.getInt32Ty(), static_cast<unsigned>(width)));
  return b_.CreateGEP(element, base, index);
}

Value* StatementEmitter::read(Value* pointer, Element element, int64_t stride, Value* displaced, Value* mask, int width) {
  llvm::Align align(byte_size(element));
  if (width == 1) return to_register(b_.CreateAlignedLoad(memory_type(element), pointer, align), element);
  llvm::Type* type = memory_type(element, width);
  llvm::Constant* zero = llvm::Constant::getNullValue(type);
  Value* value = nullptr;
  if (!displaced && !mask && stride != 1 && width <= few_lanes) {
    value = llvm::PoisonValue::get(type);
    for (int i = 0; i < width; ++i) {
      Value* at = b_.CreateConstGEP1_64(memory_type(element), pointer, static_cast<uint64_t>(i * stride));
      value = b_.CreateInsertElement(value, b_.CreateAlignedLoad(memory_type(element), at, align), static_cast<uint64_t>(i));
    }
  } else if (displaced || stride != 1) {
    if (!mask) mask = spread(b_.getTrue(), width);
    value = b_.CreateMaskedGather(type, lane_pointers(pointer, memory_type(element), stride, displaced, width), align, mask, zero);
  } else {
    value = mask ? static_cast<Value*>(b_.CreateMaskedLoad(type, pointer, align, mask, zero)) : b_.CreateAlignedLoad(type, pointer, align);
  }
  return to_register(value, element);
}

Value* StatementEmitter::load(const Stmt& stmt, Point& point, const Lanes& lanes) {
  const Access& a = stmt.access;
  Element element = body_.slots[static_cast<size_t>(a.slot)].element;
  int width = width_of(stmt, lanes);
  Value* fill = emit_constant(b_, element, a.fill, width);
  Value *inside = nullptr, *scalar = nullptr, *vector = nullptr;
  for (const Guard& g : a.guards) {
    if (g.limit <= 0) return fill;  // the tensor inside the frame is empty: there is nothing to point at
    Value* m = guard_mask(g, point, lanes, width);
    inside = inside ? b_.CreateAnd(inside, m) : m;
  }
  displacement(a, lanes, scalar, vector);
  Value* pointer = place(a, point, scalar);
  Value* mask = width > 1 ? lanes.mask : nullptr;
  if (inside && width > 1) mask = mask ? b_.CreateAnd(mask, inside) : inside;
  if (inside && width == 1) pointer = b_.CreateSelect(inside, pointer, slot_pointer(a.slot));
  Value* value = read(pointer, element, lane_stride(a.at, lanes), vector, mask, width);
  return inside ? b_.CreateSelect(inside, value, fill) : value;
}

void StatementEmitter::store(const Access& a, Value* value, Point& point, const Lanes& lanes) {
  Element element = body_.slots[static_cast<size_t>(a.slot)].element;
  llvm::Align align(byte_size(element));
  Value *scalar = nullptr, *vector = nullptr;
  displacement(a, lanes, scalar, vector);
  int64_t stride = lane_stride(a.at, lanes);
  Value* pointer = place(a, point, scalar);
  if (stride == 0 && !vector) {
    GRADC_ASSERT(!is_vector(value), "lanes with different values stored to one element");
    b_.CreateAlignedStore(to_memory(value, element), pointer, align);
    return;
  }
  value = to_memory(spread(value, lanes.width), element);
  if (!vector && !lanes.mask && stride != 1 && lanes.width <= few_lanes) {
    for (int i = 0; i < lanes.width; ++i) {
      Value* at = b_.CreateConstGEP1_64(memory_type(element), pointer, static_cast<uint64_t>(i * stride));
      b_.CreateAlignedStore(b_.CreateExtractElement(value, static_cast<uint64_t>(i)), at, align);
    }
  } else if (vector || stride != 1) {
    Value* pointers = lane_pointers(pointer, memory_type(element), stride, vector, lanes.width);
    b_.CreateMaskedScatter(value, pointers, align, lanes.mask ? lanes.mask : spread(b_.getTrue(), lanes.width));
  } else if (lanes.mask) {
    b_.CreateMaskedStore(value, pointer, align, lanes.mask);
  } else {
    b_.CreateAlignedStore(value, pointer, align);
  }
}

void StatementEmitter::accumulate(const Stmt& stmt, Point& point, const Lanes& lanes, Value* starting) {
  const Access& a = stmt.access;
  auto varies = [&](const Indirect& i) { return is_vector(values[static_cast<size_t>(i.index)]); };
  bool collide = lane_stride(a.at, lanes) == 0 || std::any_of(a.indirect.begin(), a.indirect.end(), varies);
  if (lanes.width > 1 && collide) return accumulate_serially(stmt, point, lanes, starting);
  Element element = body_.slots[static_cast<size_t>(a.slot)].element;
  Value *scalar = nullptr, *vector = nullptr;
  displacement(a, lanes, scalar, vector);
  Value* pointer = place(a, point, scalar);
  Value* x = arg(stmt, 0, lanes.width);
  auto* always = llvm::dyn_cast_or_null<llvm::ConstantInt>(starting);
  if (always && always->isOne()) return store(a, x, point, lanes);
  Value* old = read(pointer, element, lane_stride(a.at, lanes), nullptr, lanes.mask, lanes.width);
  Value* sum = combine(stmt.combiner, old, x);
  if (starting) sum = b_.CreateSelect(spread(starting, lanes.width), x, sum);
  store(a, sum, point, lanes);
}

// Lanes that may meet in one element go one after the other.
void StatementEmitter::accumulate_serially(const Stmt& stmt, Point& point, const Lanes& lanes, Value* starting) {
  const Access& a = stmt.access;
  Element element = body_.slots[static_cast<size_t>(a.slot)].element;
  Value *scalar = nullptr, *vector = nullptr;
  displacement(a, lanes, scalar, vector);
  Value* base = place(a, point, scalar);
  Value* x = arg(stmt, 0, lanes.width);
  int64_t stride = lane_stride(a.at, lanes);
  for (int i = 0; i < lanes.width; ++i) {
    auto lane = static_cast<uint64_t>(i);
    llvm::BasicBlock* next = nullptr;
    if (lanes.mask) {
      llvm::Function* f = b_.GetInsertBlock()->getParent();
      auto* body = llvm::BasicBlock::Create(b_.getContext(), "lane", f);
      next = llvm::BasicBlock::Create(b_.getContext(), "lane.next", f);
      b_.CreateCondBr(b_.CreateExtractElement(lanes.mask, lane), body, next);
      b_.SetInsertPoint(body);
    }
    Value* pointer = stride ? b_.CreateConstGEP1_64(memory_type(element), base, static_cast<uint64_t>(i * stride)) : base;
    if (vector) pointer = b_.CreateGEP(memory_type(element), pointer, b_.CreateExtractElement(vector, lane));
    Value* element_x = b_.CreateExtractElement(x, lane);
    Value* sum = combine(stmt.combiner, read(pointer, element, 0, nullptr, nullptr, 1), element_x);
    if (starting) sum = b_.CreateSelect(is_vector(starting) ? b_.CreateExtractElement(starting, lane) : starting, element_x, sum);
    b_.CreateAlignedStore(to_memory(sum, element), pointer, llvm::Align(byte_size(element)));
    if (next) {
      b_.CreateBr(next);
      b_.SetInsertPoint(next);
    }
  }
}

Value* StatementEmitter::combine(Combiner combiner, Value* a, Value* b) {
  llvm::Type* t = a->getType()->getScalarType();
  Element element = t->isFloatTy() ? Element::F32 : t->isDoubleTy() ? Element::F64 : t->isIntegerTy(1) ? Element::Bool : Element::Int;
  ScalarOp op = combiner == Combiner::Sum ? ScalarOp::Add : combiner == Combiner::Prod ? ScalarOp::Mul
                : combiner == Combiner::Max ? ScalarOp::Max : ScalarOp::Min;
  return emit_scalar_op(b_, op, element, element, {a, b});
}

Value* StatementEmitter::identity(Combiner combiner, Element element, int width) {
  constexpr double infinity = std::numeric_limits<double>::infinity();  // of Int: saturates to the extreme
  // x + -0 is x for every x, x + 0 is not for -0; LLVM drops the former.
  double v = combiner == Combiner::Sum ? (is_float(element) ? -0.0 : 0.0) : combiner == Combiner::Prod ? 1 : combiner == Combiner::Max ? -infinity : infinity;
  if (element == Element::Bool && combiner == Combiner::Max) v = 0;
  return emit_constant(b_, element, v, width);
}

// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011). The 32-bit words sit in 64-bit lanes, their upper halves arbitrary: a multiplication
// of low halves is one instruction.
Value* StatementEmitter::random(const Stmt& stmt, Point& point, const Lanes& lanes, int width) {
  Value *seed = arg(stmt, 0, width), *step = arg(stmt, 1, width);
  if (step->getType()->isFPOrFPVectorTy()) {
    Element from = step->getType()->getScalarType()->isFloatTy() ? Element::F32 : Element::F64;
    step = emit_scalar_op(b_, ScalarOp::Cast, from, Element::Int, {step});
  }
  Value* index = affine_lanes(stmt.access.at, point, lanes, width);
  llvm::Type* t = index->getType();
  auto constant = [&](uint64_t c) { return llvm::ConstantInt::get(t, c); };
  auto low = [&](Value* v) { return b_.CreateAnd(v, constant(0xffffffffu)); };
  Value* c[4] = {index, b_.CreateLShr(index, 32), spread(sites_[static_cast<size_t>(stmt.site)], width), step};
  Value *k0 = seed, *k1 = b_.CreateLShr(seed, 32);
  for (int round = 0; round < 10; ++round) {
    Value* p0 = b_.CreateMul(low(c[0]), constant(0xD2511F53u));
    Value* p1 = b_.CreateMul(low(c[2]), constant(0xCD9E8D57u));
    Value* n0 = b_.CreateXor(b_.CreateXor(b_.CreateLShr(p1, 32), c[1]), k0);
    Value* n2 = b_.CreateXor(b_.CreateXor(b_.CreateLShr(p0, 32), c[3]), k1);
    c[0] = n0, c[1] = p1, c[2] = n2, c[3] = p0;
    k0 = b_.CreateAdd(k0, constant(0x9E3779B9u));
    k1 = b_.CreateAdd(k1, constant(0xBB67AE85u));
  }
  if (stmt.type == Element::F32) {
    llvm::Type* narrow = t->getWithNewBitWidth(32);
    Value* word = b_.CreateTrunc(b_.CreateLShr(low(c[0]), 8), narrow);
    return b_.CreateFMul(b_.CreateSIToFP(word, register_type(Element::F32, width)), emit_constant(b_, Element::F32, 0x1p-24, width));
  }
  Value* wide = b_.CreateOr(b_.CreateShl(c[1], 32), low(c[0]));
  Value* uniform = b_.CreateSIToFP(b_.CreateLShr(wide, 11), register_type(Element::F64, width));
  return b_.CreateFMul(uniform, emit_constant(b_, Element::F64, 0x1p-53, width));
}

}  // namespace gradc
