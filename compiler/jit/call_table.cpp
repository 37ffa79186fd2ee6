#include <algorithm>

#include "compiler/jit/frame_code.h"

namespace gradc {
namespace {

using llvm::Value;

// One row a call: its kernel, its blocks, its slots and sites. One row a slot: its buffer, its offset, its moves; a site is an offset from
// no buffer. A move without a period has all
// bits in its mask.
class CallTable {
 public:
  CallTable(const CallList& plan, llvm::Function* function) : plan_(plan), function_(function), f_(function) {
    auto& b = f_.b;
    auto *i64 = b.getInt64Ty(), *i32 = b.getInt32Ty();
    call_ = llvm::StructType::get(b.getContext(), {b.getPtrTy(), i64, i32, i32});
    slot_ = llvm::StructType::get(b.getContext(), {i64, i32, i32, i32});
    move_ = llvm::StructType::get(b.getContext(), {i64, i64, i64, i32});
  }

  void emit() {
    auto& b = f_.b;
    make_tables();
    size_t most = 1;
    for (const StepCall& call : plan_.calls) most = std::max(most, call.buffers.size() + call.sites.size());
    auto* arguments = b.CreateAlloca(b.getPtrTy(), b.getInt64(most));
    auto *trips = function_->getArg(1), *own = function_->getArg(4);
    // Kernels' scratch lies behind what is local to a trip.
    auto* scratch = b.CreateSelect(b.CreateIsNull(own), own, b.CreateConstGEP1_64(b.getInt8Ty(), own, static_cast<uint64_t>(plan_.local_bytes)));
    f_.repeat(function_->getArg(2), function_->getArg(3), [&](Value* i) {
      f_.trace(i);
      auto* row = b.CreateGEP(call_, calls_, i);
      auto *function = column(call_, row, 0), *blocks = column(call_, row, 1);
      auto* first = wide(column(call_, row, 2));
      auto* last = b.CreateAdd(first, wide(column(call_, row, 3)));
      f_.when(b.CreateICmpNE(first, last), [&] {
        f_.repeat(first, last, [&](Value* slot) { b.CreateStore(place(slot, trips, own), b.CreateGEP(b.getPtrTy(), arguments, b.CreateSub(slot, first))); });
      });
      f_.run(function, arguments, blocks, scratch);
    });
    b.CreateRetVoid();
  }

 private:
  Value* column(llvm::StructType* type, Value* row, unsigned index) {
    return f_.b.CreateLoad(type->getElementType(index), f_.b.CreateStructGEP(type, row, index));
  }
  Value* wide(Value* v) { return f_.b.CreateZExt(v, f_.b.getInt64Ty()); }

  Value* place(Value* index, Value* trips, Value* own) {
    auto& b = f_.b;
    auto* row = b.CreateGEP(slot_, slots_, index);
    auto* offset = column(slot_, row, 0);
    auto* number = column(slot_, row, 1);
    auto *is_site = b.CreateICmpEQ(number, b.getInt32(no_buffer)), *is_own = b.CreateICmpEQ(number, b.getInt32(static_cast<uint32_t>(own_memory)));
    auto* buffer = f_.buffer(b.CreateSelect(b.CreateOr(is_site, is_own), b.getInt64(0), wide(number)));
    auto* base = b.CreateSelect(is_site, llvm::ConstantPointerNull::get(b.getPtrTy()), b.CreateSelect(is_own, own, buffer));
    auto *first = wide(column(slot_, row, 2)), *last = b.CreateAdd(first, wide(column(slot_, row, 3)));
    auto* total = b.CreateAlloca(b.getInt64Ty());
    total->moveBefore(&*function_->getEntryBlock().begin());
    b.CreateStore(offset, total);
    f_.when(b.CreateICmpNE(first, last), [&] {
      f_.repeat(first, last, [&](Value* move) {
        auto* m = b.CreateGEP(move_, moves_, move);
        auto* trip = b.CreateLoad(b.getInt64Ty(), b.CreateGEP(b.getInt64Ty(), trips, wide(column(move_, m, 3))));
        auto* n = b.CreateAnd(b.CreateAdd(trip, column(move_, m, 1)), column(move_, m, 2));
        b.CreateStore(b.CreateAdd(b.CreateLoad(b.getInt64Ty(), total), b.CreateMul(n, column(move_, m, 0))), total);
      });
    });
    return b.CreateGEP(b.getInt8Ty(), base, b.CreateLoad(b.getInt64Ty(), total));
  }

  llvm::GlobalVariable* table(llvm::ArrayRef<llvm::Constant*> rows, llvm::Type* type, const char* name) {
    auto* array = llvm::ArrayType::get(type, rows.size());
    return new llvm::GlobalVariable(*function_->getParent(), array, true, llvm::GlobalValue::PrivateLinkage, llvm::ConstantArray::get(array, rows), name);
  }

  void make_tables() {
    auto& b = f_.b;
    auto i64 = [&](int64_t v) { return b.getInt64(static_cast<uint64_t>(v)); };
    auto i32 = [&](size_t v) { return b.getInt32(static_cast<uint32_t>(v)); };
    std::vector<llvm::Constant*> calls, slots, moves;
    for (const StepCall& call : plan_.calls) {
      auto* function = llvm::cast<llvm::Constant>(f_.kernel(call).getCallee());
      calls.push_back(llvm::ConstantStruct::get(call_, {function, i64(call.blocks), i32(slots.size()), i32(call.buffers.size() + call.sites.size())}));
      for (size_t s = 0; s < call.buffers.size(); ++s) {
        const SlotPlace place = call.places.empty() ? SlotPlace{} : call.places[s];
        slots.push_back(llvm::ConstantStruct::get(slot_, {i64(place.offset), i32(static_cast<size_t>(call.buffers[s])), i32(moves.size()), i32(place.moves.size())}));
        for (const Move& m : place.moves) {
          const int64_t mask = m.period > 0 ? m.period - 1 : -1;
          moves.push_back(llvm::ConstantStruct::get(move_, {i64(m.stride), i64(m.phase), i64(mask), i32(static_cast<size_t>(m.loop))}));
        }
      }
      for (uint32_t site : call.sites) slots.push_back(llvm::ConstantStruct::get(slot_, {i64(site), b.getInt32(no_buffer), i32(moves.size()), i32(0)}));
    }
    slots.push_back(llvm::ConstantAggregateZero::get(slot_));  // tables are not empty
    moves.push_back(llvm::ConstantAggregateZero::get(move_));
    calls_ = table(calls, call_, "calls");
    slots_ = table(slots, slot_, "slots");
    moves_ = table(moves, move_, "moves");
  }

  static constexpr uint32_t no_buffer = ~uint32_t{1};  // own_memory is ~0

  const CallList& plan_;
  llvm::Function* function_;
  FrameCode f_;
  llvm::StructType *call_, *slot_, *move_;
  llvm::GlobalVariable *calls_ = nullptr, *slots_ = nullptr, *moves_ = nullptr;
};

}  // namespace

llvm::Function* emit_call_table(const CallList& plan, llvm::Module& module) {
  auto& context = module.getContext();
  llvm::Type *ptr = llvm::PointerType::getUnqual(context), *i64 = llvm::Type::getInt64Ty(context);
  auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), {ptr, ptr, i64, i64, ptr}, false);
  auto* function = llvm::Function::Create(type, llvm::GlobalValue::InternalLinkage, "make_calls", module);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  CallTable(plan, function).emit();
  return function;
}

llvm::Function* emit_shared_trips(const CallList& plan, size_t loop, llvm::Function* make_calls) {
  llvm::Module& module = *make_calls->getParent();
  auto& context = module.getContext();
  llvm::Type *ptr = llvm::PointerType::getUnqual(context), *i64 = llvm::Type::getInt64Ty(context), *none = llvm::Type::getVoidTy(context);
  auto declare = [&](const char* name) {
    auto* f = llvm::Function::Create(llvm::FunctionType::get(none, {ptr, i64, i64, ptr}, false), llvm::GlobalValue::InternalLinkage, name, module);
    f->addFnAttr(llvm::Attribute::NoUnwind);
    return f;
  };
  auto* inner = declare("trips_of_frame");
  FrameCode f(inner);
  auto& b = f.b;
  auto* trips = b.CreateAlloca(i64, b.getInt64(plan.loops.size()));
  const CallLoop& l = plan.loops[loop];
  f.repeat(inner->getArg(1), inner->getArg(2), [&](Value* trip) {
    b.CreateStore(trip, b.CreateConstGEP1_64(i64, trips, loop));
    b.CreateCall(make_calls, {inner->getArg(0), trips, b.getInt64(static_cast<uint64_t>(l.begin)), b.getInt64(static_cast<uint64_t>(l.end)), inner->getArg(3)});
  });
  f.trace(b.getInt64(static_cast<uint64_t>(-1)));
  b.CreateRetVoid();

  auto* trips_fn = declare("shared_trips");
  llvm::IRBuilder<> outer(llvm::BasicBlock::Create(context, "entry", trips_fn));
  auto* frame = outer.CreateLoad(ptr, trips_fn->getArg(0));
  outer.CreateCall(inner, {frame, trips_fn->getArg(1), trips_fn->getArg(2), trips_fn->getArg(3)});
  outer.CreateRetVoid();
  return trips_fn;
}

}  // namespace gradc
