#include "compiler/jit/fused_step.h"

#include <llvm/Transforms/Utils/Cloning.h>

#include "compiler/codegen/codegen.h"
#include "compiler/jit/jit.h"
#include "compiler/support/error.h"

namespace gradc {
namespace {

using llvm::Value;

constexpr size_t most_calls = 16;
constexpr double most_work = 4096;  // statements times points
constexpr uint64_t most_resident = 64;  // bytes of a buffer worth keeping in registers: four vectors of the narrowest kind

double work(const KernelBody& body, const Nest& nest) {
  double points = 1;
  for (const KernelDim& d : nest.dims) points *= static_cast<double>(d.extent);
  return points * static_cast<double>(statements(body).size());
}

// Known to nobody outside the step, and written before it is read in each.
bool is_private(const Buffer& buffer) { return buffer.kind == BufferKind::Temporary || buffer.kind == BufferKind::Shadow; }

// Read again by the next step, or overwritten by it.
bool changes(const Buffer& buffer) {
  return buffer.kind == BufferKind::Parameter || buffer.kind == BufferKind::State || buffer.kind == BufferKind::Output;
}

uint64_t size_of(const Buffer& buffer) { return static_cast<uint64_t>(buffer.type.count()) * byte_size(buffer.type.element); }

class Fuser {
 public:
  Fuser(const KernelProgram& program, const CallList& plan, llvm::Module& module) : program_(program), plan_(plan), module_(module), b_(module.getContext()) {}

  FusedStep run() {
    FusedStep fused;
    for (size_t i = 0; i < program_.buffers.size(); ++i)
      if (!is_private(program_.buffers[i])) fused.buffers.push_back(static_cast<int32_t>(i));
    fused.function = function_ = declare(fused.buffers);
    b_.SetInsertPoint(llvm::BasicBlock::Create(b_.getContext(), "entry", function_));
    find_buffers(fused.buffers);
    for (const Resident& r : residents_) copy(r.local, r.home, r.bytes);
    auto *entry = b_.GetInsertBlock(), *step = llvm::BasicBlock::Create(b_.getContext(), "step", function_);
    b_.CreateBr(step);
    b_.SetInsertPoint(step);
    auto* left = b_.CreatePHI(b_.getInt64Ty(), 2);
    left->addIncoming(function_->getArg(0), entry);
    std::vector<llvm::CallBase*> calls;
    for (const StepCall& call : plan_.calls) calls.push_back(emit_call(call));
    for (const StepCopy& c : plan_.copies) copy(buffer(c.to), buffer(c.from), static_cast<uint64_t>(c.bytes));
    repeat(left, step);
    for (llvm::CallBase* call : calls) {
      llvm::InlineFunctionInfo info;
      const bool done = llvm::InlineFunction(*call, info).isSuccess();
      GRADC_ASSERT(done, "a kernel that cannot be put in line");
    }
    // Trips are few and known: every loop of a kernel may be unrolled.
    for (llvm::BasicBlock& block : *function_) block.getTerminator()->setMetadata(llvm::LLVMContext::MD_loop, nullptr);
    return fused;
  }

 private:
  // Buffers never overlap, but in the arena, whose buffers become locals.
  llvm::Function* declare(const std::vector<int32_t>& buffers) {
    std::vector<llvm::Type*> types(buffers.size() + 1, b_.getPtrTy());
    types[0] = b_.getInt64Ty();
    auto* f = llvm::Function::Create(llvm::FunctionType::get(b_.getVoidTy(), types, false), llvm::GlobalValue::InternalLinkage, "fused", module_);
    f->copyAttributesFrom(module_.getFunction(plan_.calls.front().symbol));
    f->setLinkage(llvm::GlobalValue::InternalLinkage);
    f->setAttributes(llvm::AttributeList().addFnAttributes(b_.getContext(), llvm::AttrBuilder(b_.getContext(), f->getAttributes().getFnAttrs())));
    for (size_t i = 0; i < buffers.size(); ++i) {
      const auto argument = static_cast<unsigned>(i + 1);
      f->addParamAttr(argument, llvm::Attribute::NoAlias);
      const uint64_t bytes = size_of(program_.buffers[static_cast<size_t>(buffers[i])]);
      if (bytes > 0) f->addParamAttr(argument, llvm::Attribute::getWithDereferenceableBytes(b_.getContext(), bytes));
    }
    return f;
  }

  // Temporaries are locals. So is what a step changes, where it is small: it stays in registers from step to step, and goes home
  // after the last.
  void find_buffers(const std::vector<int32_t>& given) {
    buffers_.resize(program_.buffers.size());
    for (size_t i = 0; i < given.size(); ++i) buffers_[static_cast<size_t>(given[i])] = function_->getArg(static_cast<unsigned>(i + 1));
    for (size_t i = 0; i < buffers_.size(); ++i) {
      const uint64_t bytes = size_of(program_.buffers[i]);
      if (!buffers_[i]) buffers_[i] = local(bytes);
      else if (changes(program_.buffers[i]) && bytes <= most_resident) {
        residents_.push_back({local(bytes), buffers_[i], bytes});
        buffers_[i] = residents_.back().local;
      }
    }
  }

  Value* local(uint64_t bytes) {
    auto* memory = b_.CreateAlloca(llvm::ArrayType::get(b_.getInt8Ty(), std::max<uint64_t>(bytes, 1)));
    memory->setAlignment(llvm::Align(64));
    return memory;
  }

  void copy(Value* to, Value* from, uint64_t bytes) { b_.CreateMemCpy(to, llvm::Align(8), from, llvm::Align(8), bytes); }

  Value* buffer(int32_t index) const { return buffers_[static_cast<size_t>(index)]; }

  llvm::CallBase* emit_call(const StepCall& call) {
    auto* type = llvm::ArrayType::get(b_.getPtrTy(), call.buffers.size() + call.sites.size());
    llvm::Value* arguments = nullptr;
    {
      llvm::IRBuilder<>::InsertPointGuard guard(b_);
      b_.SetInsertPoint(&function_->getEntryBlock(), function_->getEntryBlock().begin());
      arguments = b_.CreateAlloca(type);
    }
    for (size_t slot = 0; slot < call.buffers.size(); ++slot)
      b_.CreateStore(buffer(call.buffers[slot]), b_.CreateConstGEP1_64(b_.getPtrTy(), arguments, slot));
    for (size_t site = 0; site < call.sites.size(); ++site)
      b_.CreateStore(b_.getInt64(call.sites[site]), b_.CreateConstGEP1_64(b_.getPtrTy(), arguments, call.buffers.size() + site));
    auto* scratch = llvm::ConstantPointerNull::get(b_.getPtrTy());  // nests need none
    return b_.CreateCall(module_.getFunction(call.symbol), {arguments, b_.getInt64(0), b_.getInt64(1), scratch});
  }

  void repeat(llvm::PHINode* left, llvm::BasicBlock* step) {
    auto *again = llvm::BasicBlock::Create(b_.getContext(), "again", function_), *done = llvm::BasicBlock::Create(b_.getContext(), "done", function_);
    b_.CreateCondBr(b_.CreateICmpSGT(left, b_.getInt64(0)), again, done);
    b_.SetInsertPoint(again);
    if (plan_.counter >= 0) emit_count(b_, buffer(plan_.counter));
    left->addIncoming(b_.CreateSub(left, b_.getInt64(1)), again);
    b_.CreateBr(step);
    b_.SetInsertPoint(done);
    for (const Resident& r : residents_) copy(r.home, r.local, r.bytes);
    b_.CreateRetVoid();
  }

  // A buffer of the caller's that a local stands for.
  struct Resident {
    Value *local, *home;
    uint64_t bytes;
  };

  const KernelProgram& program_;
  const CallList& plan_;
  llvm::Module& module_;
  llvm::IRBuilder<> b_;
  std::vector<Resident> residents_;
  llvm::Function* function_ = nullptr;
  std::vector<Value*> buffers_;
};

}  // namespace

bool worth_fusing(const KernelProgram& program) {
  if (program.instances.empty() || program.instances.size() > most_calls || !program.loops.empty()) return false;
  double total = 0;
  for (const KernelInstance& instance : program.instances) {
    const KernelBody& body = program[instance.body];
    const Nest* nest = std::get_if<Nest>(&body.form);
    if (!nest || block_count(body) != 1) return false;
    total += work(body, *nest);
  }
  return total <= most_work;
}

FusedStep fuse_step(const KernelProgram& program, const CallList& plan, llvm::Module& module, Machine& machine) {
  for (const KernelInstance& instance : program.instances) {
    const std::string& symbol = plan.calls[static_cast<size_t>(&instance - program.instances.data())].symbol;
    if (module.getFunction(symbol)) continue;
    // Without locations: nothing is left of the kernels' lines where all of them are one function.
    emit_body(program[instance.body], program.target, module, symbol, /*debug_info=*/false)->setLinkage(llvm::GlobalValue::InternalLinkage);
  }
  FusedStep fused = Fuser(program, plan, module).run();
  machine.simplify(*fused.function);
  return fused;
}

CallList list_fused_calls(const KernelProgram& program) {
  std::vector<std::string> symbols;
  for (size_t i = 0; i < program.bodies.size(); ++i) symbols.push_back(fmt::format("k{}", i));
  return list_calls(program, symbols);
}

}  // namespace gradc
