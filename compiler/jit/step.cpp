#include "compiler/jit/step.h"

#include <algorithm>

#include "compiler/jit/frame_code.h"

namespace gradc {
namespace {

using llvm::Value;

constexpr size_t straight_calls = 16;

llvm::Function* declare_step(llvm::Module& module) {
  auto& context = module.getContext();
  auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), {llvm::PointerType::getUnqual(context)}, false);
  auto* step = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, step_symbol, module);
  step->addFnAttr(llvm::Attribute::NoUnwind);
  return step;
}

class StepEmitter {
 public:
  StepEmitter(const CallList& plan, llvm::Module& module, const FusedStep* fused) : plan_(plan), fused_(fused), f_(declare_step(module)), b_(f_.b) {
    straight_ = plan.calls.size() <= straight_calls && std::all_of(plan.calls.begin(), plan.calls.end(), [](const StepCall& c) { return c.blocks == 1; }) &&
                std::none_of(plan.loops.begin(), plan.loops.end(), [](const CallLoop& l) { return l.shared; });
    if (!straight_) make_calls_ = emit_call_table(plan, module);
  }

  void emit() {
    auto* further = b_.CreateLoad(b_.getInt64Ty(), f_.address(offsetof(GradcFrame, further)));
    size_t slots = 1;
    for (const StepCall& call : plan_.calls) slots = std::max(slots, call.buffers.size() + call.sites.size());
    arguments_ = b_.CreateAlloca(b_.getPtrTy(), b_.getInt64(slots));
    trips_ = b_.CreateAlloca(b_.getInt64Ty(), b_.getInt64(std::max<size_t>(plan_.loops.size(), 1)));
    if (fused_) call_fused(further);
    auto *once = f_.block("step"), *done = f_.block("end");
    auto* entry = b_.GetInsertBlock();
    b_.CreateBr(once);
    b_.SetInsertPoint(once);
    auto* made = b_.CreatePHI(b_.getInt64Ty(), 2);
    made->addIncoming(b_.getInt64(0), entry);
    emit_one();
    auto* again = f_.block("again");
    b_.CreateCondBr(b_.CreateICmpSLT(made, further), again, done);
    b_.SetInsertPoint(again);
    if (plan_.counter >= 0) emit_count(b_, buffer(plan_.counter));
    made->addIncoming(b_.CreateAdd(made, b_.getInt64(1)), again);
    b_.CreateBr(once);
    b_.SetInsertPoint(done);
    b_.CreateRetVoid();
  }

 private:
  Value* buffer(int32_t index) { return f_.buffer(b_.getInt64(static_cast<uint64_t>(index))); }

  // One step.
  void emit_one() {
    size_t loop = 0;
    emit_range(0, plan_.calls.size(), loop);
    f_.trace(b_.getInt64(plan_.calls.size()));
    emit_copies();
  }

  // Calls from..to, where `loop` is the first loop that begins there.
  void emit_range(size_t from, size_t to, size_t& loop) {
    while (from < to) {
      const bool inside = loop < plan_.loops.size() && static_cast<size_t>(plan_.loops[loop].begin) < to;
      const size_t begin = inside ? static_cast<size_t>(plan_.loops[loop].begin) : to;
      if (from < begin) emit_run(from, begin);
      from = begin;
      if (!inside) continue;
      const size_t index = loop++;
      const CallLoop& l = plan_.loops[index];
      from = static_cast<size_t>(l.end);
      if (l.shared) {
        b_.CreateStore(f_.frame(), arguments_);
        f_.run(emit_shared_trips(plan_, index, make_calls_), arguments_, b_.getInt64(static_cast<uint64_t>(l.trips)));
        continue;
      }
      f_.repeat(b_.getInt64(0), b_.getInt64(static_cast<uint64_t>(l.trips)), [&](Value* trip) {
        b_.CreateStore(trip, b_.CreateConstGEP1_64(b_.getInt64Ty(), trips_, index));
        emit_range(begin, from, loop);
      });
    }
  }

  void emit_run(size_t from, size_t to) {
    if (!straight_) {
      b_.CreateCall(make_calls_, {f_.frame(), trips_, b_.getInt64(from), b_.getInt64(to), llvm::ConstantPointerNull::get(b_.getPtrTy())});
      return;
    }
    for (size_t i = from; i < to; ++i) {
      const StepCall& call = plan_.calls[i];
      f_.trace(b_.getInt64(i));
      for (size_t slot = 0; slot < call.buffers.size(); ++slot) b_.CreateStore(place(call, slot), b_.CreateConstGEP1_64(b_.getPtrTy(), arguments_, slot));
      for (size_t site = 0; site < call.sites.size(); ++site)
        b_.CreateStore(b_.getInt64(call.sites[site]), b_.CreateConstGEP1_64(b_.getPtrTy(), arguments_, call.buffers.size() + site));
      f_.run_alone(f_.kernel(call), arguments_, b_.getInt64(1));
    }
  }

  Value* place(const StepCall& call, size_t slot) {
    Value* base = buffer(call.buffers[slot]);
    if (call.places.empty()) return base;
    const SlotPlace& place = call.places[slot];
    auto i64 = [&](int64_t v) { return b_.getInt64(static_cast<uint64_t>(v)); };
    Value* offset = i64(place.offset);
    for (const Move& m : place.moves) {
      Value* trip = b_.CreateLoad(b_.getInt64Ty(), b_.CreateConstGEP1_64(b_.getInt64Ty(), trips_, static_cast<uint64_t>(m.loop)));
      if (m.period > 0) trip = b_.CreateAnd(b_.CreateAdd(trip, i64(m.phase)), i64(m.period - 1));
      offset = b_.CreateAdd(offset, b_.CreateMul(trip, i64(m.stride)));
    }
    return b_.CreateGEP(b_.getInt8Ty(), base, offset);
  }

  void call_fused(Value* further) {
    auto *all = f_.block("fused"), *one_by_one = f_.block("traced");
    b_.CreateCondBr(f_.traced(), one_by_one, all);
    b_.SetInsertPoint(all);
    std::vector<Value*> arguments{further};
    for (int32_t index : fused_->buffers) arguments.push_back(buffer(index));
    b_.CreateCall(fused_->function, arguments);
    b_.CreateRetVoid();
    b_.SetInsertPoint(one_by_one);
  }

  void emit_copies() {
    for (const StepCopy& copy : plan_.copies) {
      auto *from = buffer(copy.from), *to = buffer(copy.to);
      b_.CreateMemCpy(to, llvm::Align(8), from, llvm::Align(8), static_cast<uint64_t>(copy.bytes));
    }
  }

  const CallList& plan_;
  const FusedStep* fused_;
  FrameCode f_;
  llvm::IRBuilder<>& b_;
  llvm::Function* make_calls_ = nullptr;
  bool straight_ = false;
  Value *arguments_ = nullptr, *trips_ = nullptr;
};

}  // namespace

CallList list_calls(const KernelProgram& program, const std::vector<std::string>& symbols) {
  CallList plan;
  plan.loops = program.loops;
  plan.local_bytes = (program.local_bytes + 63) / 64 * 64;
  for (const KernelInstance& instance : program.instances) {
    StepCall call{symbols[instance.body.at()], block_count(program[instance.body]), {}, instance.places, instance.sites};
    for (size_t i = 0; i < instance.buffers.size(); ++i) {
      const Buffer& buffer = program[instance.buffers[i]];
      const bool local = buffer.kind == BufferKind::Local;
      call.buffers.push_back(local ? own_memory : instance.buffers[i].index);
      if (!local) continue;
      call.places.resize(instance.buffers.size());
      call.places[i].offset += buffer.offset;
    }
    plan.calls.push_back(std::move(call));
  }
  for (size_t i = 0; i < program.buffers.size(); ++i) {
    const Buffer& buffer = program.buffers[i];
    if (buffer.kind == BufferKind::Input && buffer.name.str() == "step" && buffer.type == Type{Element::F64, {}}) plan.counter = static_cast<int32_t>(i);
    if (buffer.kind != BufferKind::Shadow) continue;
    const int64_t bytes = buffer.type.count() * static_cast<int64_t>(byte_size(buffer.type.element));
    plan.copies.push_back({static_cast<int32_t>(i), buffer.source.index, bytes});
  }
  return plan;
}

std::string to_string(const CallList& plan) {
  std::string text;
  for (const StepCall& call : plan.calls) {
    text += fmt::format("{} {}", call.symbol, call.blocks);
    for (int32_t buffer : call.buffers) text += fmt::format(" {}", buffer);
    for (const SlotPlace& place : call.places) {
      text += fmt::format(" +{}", place.offset);
      for (const Move& m : place.moves) text += fmt::format(",{},{},{},{}", m.loop, m.stride, m.phase, m.period);
    }
    if (!call.sites.empty()) text += fmt::format(" sites {}", fmt::join(call.sites, " "));
    text += '\n';
  }
  for (const CallLoop& loop : plan.loops) text += fmt::format("loop {} {} {}{}\n", loop.begin, loop.end, loop.trips, loop.shared ? " shared" : "");
  for (const StepCopy& copy : plan.copies) text += fmt::format("copy {} {} {}\n", copy.from, copy.to, copy.bytes);
  return text + fmt::format("counter {} local {}\n", plan.counter, plan.local_bytes);
}

void emit_count(llvm::IRBuilder<>& b, Value* counter) {
  b.CreateStore(b.CreateFAdd(b.CreateLoad(b.getDoubleTy(), counter), llvm::ConstantFP::get(b.getDoubleTy(), 1)), counter);
}

void emit_step(const CallList& plan, llvm::Module& module, const FusedStep* fused) { StepEmitter(plan, module, fused).emit(); }

}  // namespace gradc
