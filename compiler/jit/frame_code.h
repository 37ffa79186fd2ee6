#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "compiler/jit/step.h"
#include "runtime/abi/step_abi.h"

namespace gradc {

// Code in a function whose first argument is the step's GradcFrame.
class FrameCode {
 public:
  using Value = llvm::Value;

  FrameCode(llvm::Function* function)
      : b(function->getContext()), function_(function), kernel_type_(llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy(), b.getInt64Ty(), b.getInt64Ty(), b.getPtrTy()}, false)) {
    b.SetInsertPoint(block("entry"));
    buffers_ = field(offsetof(GradcFrame, buffers));
    parallel_ = field(offsetof(GradcFrame, parallel));
    scratch_ = field(offsetof(GradcFrame, scratch));
    trace_ = field(offsetof(GradcFrame, trace));
  }

  llvm::IRBuilder<> b;

  llvm::BasicBlock* block(const char* name) { return llvm::BasicBlock::Create(b.getContext(), name, function_); }
  Value* frame() { return function_->getArg(0); }
  Value* address(uint64_t offset) { return b.CreateConstGEP1_64(b.getInt8Ty(), frame(), offset); }
  Value* field(uint64_t offset) { return b.CreateLoad(b.getPtrTy(), address(offset)); }
  Value* buffer(Value* index) { return b.CreateLoad(b.getPtrTy(), b.CreateGEP(b.getPtrTy(), buffers_, index)); }
  Value* count(uint64_t n) { return b.getInt64(n); }
  Value* traced() { return b.CreateIsNotNull(trace_); }
  llvm::FunctionCallee kernel(const StepCall& call) { return function_->getParent()->getOrInsertFunction(call.symbol, kernel_type_); }

  // body(): emitted where the condition holds.
  template <class Body>
  void when(Value* condition, Body body) {
    auto *then = block("then"), *after = block("after");
    b.CreateCondBr(condition, then, after);
    b.SetInsertPoint(then);
    body();
    b.CreateBr(after);
    b.SetInsertPoint(after);
  }

  // for (i = from; i < to; ++i), with at least one trip.
  template <class Body>
  void repeat(Value* from, Value* to, Body body) {
    auto *before = b.GetInsertBlock(), *head = block("loop"), *after = block("done");
    b.CreateBr(head);
    b.SetInsertPoint(head);
    auto* i = b.CreatePHI(b.getInt64Ty(), 2);
    i->addIncoming(from, before);
    body(i);
    auto* next = b.CreateAdd(i, b.getInt64(1));
    i->addIncoming(next, b.GetInsertBlock());
    b.CreateCondBr(b.CreateICmpULT(next, to), head, after);
    b.SetInsertPoint(after);
  }

  // Tells a trace, if there is one, which kernel comes next.
  void trace(Value* index) {
    auto* type = llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy(), b.getInt64Ty()}, false);
    when(traced(), [&] { b.CreateCall(type, trace_, {frame(), index}); });
  }

  // Runs a kernel's blocks on this thread.
  void run_alone(llvm::FunctionCallee kernel, Value* arguments, Value* blocks) { b.CreateCall(kernel, {arguments, b.getInt64(0), blocks, scratch_}); }

  // Runs them on all threads where there are several of both; where `scratch` is given, on this thread with that for scratch.
  void run(Value* kernel, Value* arguments, Value* blocks, Value* scratch = nullptr) {
    auto *shared = block("parallel"), *alone = block("alone"), *after = block("ran");
    Value* several = b.CreateAnd(b.CreateICmpUGT(blocks, b.getInt64(1)), b.CreateIsNotNull(parallel_));
    if (scratch) several = b.CreateAnd(several, b.CreateIsNull(scratch));
    b.CreateCondBr(several, shared, alone);
    b.SetInsertPoint(shared);
    auto* parallel_type = llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy(), b.getPtrTy(), b.getPtrTy(), b.getInt64Ty()}, false);
    b.CreateCall(parallel_type, parallel_, {frame(), kernel, arguments, blocks});
    b.CreateBr(after);
    b.SetInsertPoint(alone);
    Value* own = scratch ? b.CreateSelect(b.CreateIsNull(scratch), scratch_, scratch) : scratch_;
    b.CreateCall(kernel_type_, kernel, {arguments, b.getInt64(0), blocks, own});
    b.CreateBr(after);
    b.SetInsertPoint(after);
  }

 private:
  llvm::Function* function_;
  llvm::FunctionType* kernel_type_;
  Value *buffers_ = nullptr, *parallel_ = nullptr, *scratch_ = nullptr, *trace_ = nullptr;
};

// void(frame, i64* trips, i64 from, i64 to, ptr own): makes the calls from..to of the plan, at least one, by a table of all of them.
// `trips`: by loop of the plan, the number of the trip it is on. `own`: null where all threads share out the blocks of each call; else this
// thread's scratch, and it makes the calls alone.
llvm::Function* emit_call_table(const CallList& plan, llvm::Module& module);
// A GradcKernelFn whose blocks are the trips of a shared loop; its only argument is the frame.
llvm::Function* emit_shared_trips(const CallList& plan, size_t loop, llvm::Function* make_calls);

}  // namespace gradc
