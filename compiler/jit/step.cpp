#include "compiler/jit/step.h"

#include <algorithm>

#include "runtime/abi/step_abi.h"

namespace gradc {
namespace {

using llvm::Value;

constexpr size_t straight_calls = 16;

class StepEmitter {
 public:
  StepEmitter(const CallList& plan, llvm::Module& module, const FusedStep* fused)
      : plan_(plan), module_(module), fused_(fused), b_(module.getContext()) {
    auto* i64 = b_.getInt64Ty();
    auto* ptr = b_.getPtrTy();
    kernel_type_ = llvm::FunctionType::get(b_.getVoidTy(), {ptr, i64, i64, ptr}, false);
    parallel_type_ = llvm::FunctionType::get(b_.getVoidTy(), {ptr, ptr, ptr, i64}, false);
    trace_type_ = llvm::FunctionType::get(b_.getVoidTy(), {ptr, i64}, false);
    step_ = llvm::Function::Create(llvm::FunctionType::get(b_.getVoidTy(), {ptr}, false), llvm::GlobalValue::ExternalLinkage, step_symbol, module);
    step_->addFnAttr(llvm::Attribute::NoUnwind);
  }

  void emit() {
    b_.SetInsertPoint(block("entry"));
    buffers_ = field(offsetof(GradcFrame, buffers));
    parallel_ = field(offsetof(GradcFrame, parallel));
    scratch_ = field(offsetof(GradcFrame, scratch));
    trace_ = field(offsetof(GradcFrame, trace));
    auto* further = b_.CreateLoad(b_.getInt64Ty(), address(offsetof(GradcFrame, further)));
    size_t slots = 1;
    for (const StepCall& call : plan_.calls) slots = std::max(slots, call.buffers.size());
    arguments_ = b_.CreateAlloca(b_.getPtrTy(), b_.getInt64(slots));
    if (fused_) call_fused(further);
    auto *once = block("step"), *done = block("end");
    auto* entry = b_.GetInsertBlock();
    b_.CreateBr(once);
    b_.SetInsertPoint(once);
    auto* made = b_.CreatePHI(b_.getInt64Ty(), 2);
    made->addIncoming(b_.getInt64(0), entry);
    emit_one();
    auto* again = block("again");
    b_.CreateCondBr(b_.CreateICmpSLT(made, further), again, done);
    b_.SetInsertPoint(again);
    if (plan_.counter >= 0) emit_count(b_, buffer(b_.getInt64(static_cast<uint64_t>(plan_.counter))));
    made->addIncoming(b_.CreateAdd(made, b_.getInt64(1)), again);
    b_.CreateBr(once);
    b_.SetInsertPoint(done);
    b_.CreateRetVoid();
  }

 private:
  llvm::BasicBlock* block(const char* name) { return llvm::BasicBlock::Create(b_.getContext(), name, step_); }
  Value* address(uint64_t offset) { return b_.CreateConstGEP1_64(b_.getInt8Ty(), step_->getArg(0), offset); }
  Value* field(uint64_t offset) { return b_.CreateLoad(b_.getPtrTy(), address(offset)); }
  llvm::FunctionCallee kernel(const StepCall& call) { return module_.getOrInsertFunction(call.symbol, kernel_type_); }
  Value* buffer(Value* index) { return b_.CreateLoad(b_.getPtrTy(), b_.CreateGEP(b_.getPtrTy(), buffers_, index)); }

  // body(): emitted where the condition holds.
  template <class Body>
  void when(Value* condition, Body body) {
    auto *then = block("then"), *after = block("after");
    b_.CreateCondBr(condition, then, after);
    b_.SetInsertPoint(then);
    body();
    b_.CreateBr(after);
    b_.SetInsertPoint(after);
  }

  // for (i = 0; i < count; ++i), with at least one trip.
  template <class Body>
  void repeat(Value* count, Body body) {
    auto *before = b_.GetInsertBlock(), *head = block("loop"), *after = block("done");
    b_.CreateBr(head);
    b_.SetInsertPoint(head);
    auto* i = b_.CreatePHI(b_.getInt64Ty(), 2);
    i->addIncoming(b_.getInt64(0), before);
    body(i);
    auto* next = b_.CreateAdd(i, b_.getInt64(1));
    i->addIncoming(next, b_.GetInsertBlock());
    b_.CreateCondBr(b_.CreateICmpULT(next, count), head, after);
    b_.SetInsertPoint(after);
  }

  // One step.
  void emit_one() {
    const bool straight = plan_.calls.size() <= straight_calls &&
                          std::all_of(plan_.calls.begin(), plan_.calls.end(), [](const StepCall& c) { return c.blocks == 1; });
    straight ? emit_calls() : emit_table();
    trace(b_.getInt64(plan_.calls.size()));
    emit_copies();
  }

  void call_fused(Value* further) {
    auto *all = block("fused"), *one_by_one = block("traced");
    b_.CreateCondBr(b_.CreateIsNull(trace_), all, one_by_one);
    b_.SetInsertPoint(all);
    std::vector<Value*> arguments{further};
    for (int32_t index : fused_->buffers) arguments.push_back(buffer(b_.getInt64(static_cast<uint64_t>(index))));
    b_.CreateCall(fused_->function, arguments);
    b_.CreateRetVoid();
    b_.SetInsertPoint(one_by_one);
  }

  void trace(Value* index) {
    when(b_.CreateIsNotNull(trace_), [&] { b_.CreateCall(trace_type_, trace_, {step_->getArg(0), index}); });
  }

  void emit_calls() {
    for (size_t i = 0; i < plan_.calls.size(); ++i) {
      const StepCall& call = plan_.calls[i];
      trace(b_.getInt64(i));
      for (size_t slot = 0; slot < call.buffers.size(); ++slot)
        b_.CreateStore(buffer(b_.getInt64(static_cast<uint64_t>(call.buffers[slot]))), b_.CreateConstGEP1_64(b_.getPtrTy(), arguments_, slot));
      b_.CreateCall(kernel(call), {arguments_, b_.getInt64(0), b_.getInt64(1), scratch_});
    }
  }

  llvm::GlobalVariable* table(llvm::ArrayRef<llvm::Constant*> rows, llvm::Type* type, const char* name) {
    auto* array = llvm::ArrayType::get(type, rows.size());
    return new llvm::GlobalVariable(module_, array, true, llvm::GlobalValue::PrivateLinkage, llvm::ConstantArray::get(array, rows), name);
  }

  void emit_table() {
    auto *i64 = b_.getInt64Ty(), *i32 = b_.getInt32Ty();
    auto* row_type = llvm::StructType::get(b_.getContext(), {b_.getPtrTy(), i64, i32, i32});
    std::vector<llvm::Constant*> rows, slots;
    for (const StepCall& call : plan_.calls) {
      rows.push_back(llvm::ConstantStruct::get(
          row_type, {llvm::cast<llvm::Constant>(kernel(call).getCallee()), b_.getInt64(static_cast<uint64_t>(call.blocks)),
                     b_.getInt32(static_cast<uint32_t>(slots.size())), b_.getInt32(static_cast<uint32_t>(call.buffers.size()))}));
      for (int32_t buffer : call.buffers) slots.push_back(b_.getInt32(static_cast<uint32_t>(buffer)));
    }
    slots.push_back(b_.getInt32(0));
    auto *row_table = table(rows, row_type, "calls"), *slot_table = table(slots, i32, "slots");
    repeat(b_.getInt64(rows.size()), [&](Value* i) {
      trace(i);
      auto* row = b_.CreateGEP(row_type, row_table, i);
      auto column = [&](unsigned index, llvm::Type* type) -> Value* { return b_.CreateLoad(type, b_.CreateStructGEP(row_type, row, index)); };
      auto *function = column(0, b_.getPtrTy()), *blocks = column(1, i64);
      auto *first = b_.CreateZExt(column(2, i32), i64), *count = b_.CreateZExt(column(3, i32), i64);
      when(b_.CreateICmpNE(count, b_.getInt64(0)), [&] {
        repeat(count, [&](Value* slot) {
          auto* index = b_.CreateLoad(i32, b_.CreateGEP(i32, slot_table, b_.CreateAdd(first, slot)));
          b_.CreateStore(buffer(b_.CreateZExt(index, i64)), b_.CreateGEP(b_.getPtrTy(), arguments_, slot));
        });
      });
      run(function, blocks);
    });
  }

  void run(Value* function, Value* blocks) {
    auto *shared = block("parallel"), *alone = block("alone"), *after = block("ran");
    auto* several = b_.CreateICmpUGT(blocks, b_.getInt64(1));
    b_.CreateCondBr(b_.CreateAnd(several, b_.CreateIsNotNull(parallel_)), shared, alone);
    b_.SetInsertPoint(shared);
    b_.CreateCall(parallel_type_, parallel_, {step_->getArg(0), function, arguments_, blocks});
    b_.CreateBr(after);
    b_.SetInsertPoint(alone);
    b_.CreateCall(kernel_type_, function, {arguments_, b_.getInt64(0), blocks, scratch_});
    b_.CreateBr(after);
    b_.SetInsertPoint(after);
  }

  void emit_copies() {
    for (const StepCopy& copy : plan_.copies) {
      auto *from = buffer(b_.getInt64(static_cast<uint64_t>(copy.from))), *to = buffer(b_.getInt64(static_cast<uint64_t>(copy.to)));
      b_.CreateMemCpy(to, llvm::Align(8), from, llvm::Align(8), static_cast<uint64_t>(copy.bytes));
    }
  }

  const CallList& plan_;
  llvm::Module& module_;
  const FusedStep* fused_;
  llvm::IRBuilder<> b_;
  llvm::FunctionType *kernel_type_, *parallel_type_, *trace_type_;
  llvm::Function* step_;
  Value *buffers_ = nullptr, *parallel_ = nullptr, *scratch_ = nullptr, *trace_ = nullptr, *arguments_ = nullptr;
};

}  // namespace

CallList list_calls(const KernelProgram& program, const std::vector<std::string>& symbols) {
  CallList plan;
  for (const KernelInstance& instance : program.instances) {
    StepCall call{symbols[instance.body.at()], block_count(program[instance.body]), {}};
    for (BufferId buffer : instance.buffers) call.buffers.push_back(buffer.index);
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
    text += '\n';
  }
  for (const StepCopy& copy : plan.copies) text += fmt::format("copy {} {} {}\n", copy.from, copy.to, copy.bytes);
  return text + fmt::format("counter {}\n", plan.counter);
}

void emit_count(llvm::IRBuilder<>& b, Value* counter) {
  b.CreateStore(b.CreateFAdd(b.CreateLoad(b.getDoubleTy(), counter), llvm::ConstantFP::get(b.getDoubleTy(), 1)), counter);
}

void emit_step(const CallList& plan, llvm::Module& module, const FusedStep* fused) { StepEmitter(plan, module, fused).emit(); }

}  // namespace gradc
