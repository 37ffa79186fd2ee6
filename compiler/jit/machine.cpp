#include "compiler/jit/machine.h"

#include <mutex>

#include <llvm/Analysis/TargetTransformInfo.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar.h>

#include "compiler/support/error.h"

namespace gradc {
namespace {

constexpr int most_unrolled = 8192;  // instructions of one loop

void set_option(llvm::StringRef name, bool value) {
  auto& options = llvm::cl::getRegisteredOptions();
  const auto option = options.find(name);
  GRADC_ASSERT(option != options.end(), "LLVM has no option {}", name.str());
  static_cast<llvm::cl::opt<bool>*>(option->second)->setValue(value);
}

void initialize_llvm() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    // Loops are emitted in their final form: these two passes take a third of the time and leave the inner loops as they are.
    set_option("disable-lsr", true);
    set_option("disable-cgp", true);
    // What can be outside of a loop is emitted outside. All that this pass would lift are constants: in a loop with several transcendental
    // functions they fill the registers and are moved about (20 of 200 instructions), while as operands in memory they cost nothing.
    set_option("disable-machine-licm", true);
    // The processor reorders what is left to reorder; this pass took 6 % of the time.
    set_option("disable-post-ra", true);
  });
}

}  // namespace

Machine::Machine(const Target& target) {
  initialize_llvm();
  const std::string triple = llvm::sys::getProcessTriple();
  std::string error;
  const llvm::Target* backend = llvm::TargetRegistry::lookupTarget(triple, error);
  GRADC_ASSERT(backend, "{}", error);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  machine_.reset(backend->createTargetMachine(triple, target.cpu, target.features, options, llvm::Reloc::PIC_, llvm::CodeModel::Small,
                                              llvm::CodeGenOptLevel::Default, /*JIT=*/true));
  GRADC_ASSERT(machine_, "LLVM cannot make code for {}", target.cpu);
}

std::unique_ptr<llvm::Module> Machine::new_module(llvm::LLVMContext& context, const std::string& name) const {
  auto module = std::make_unique<llvm::Module>(name, context);
  module->setTargetTriple(machine_->getTargetTriple().str());
  module->setDataLayout(machine_->createDataLayout());
  return module;
}

void Machine::run(llvm::Module& module, llvm::raw_pwrite_stream& out, llvm::CodeGenFileType type) {
#ifndef NDEBUG
  std::string problems;
  llvm::raw_string_ostream stream(problems);
  if (llvm::verifyModule(module, &stream)) GRADC_BUG("invalid LLVM IR in {}: {}", module.getName().str(), problems);
#endif
  llvm::legacy::PassManager passes;
  if (machine_->addPassesToEmitFile(passes, out, nullptr, type, /*DisableVerify=*/true)) GRADC_BUG("LLVM cannot emit this file type");
  passes.run(module);
}

void Machine::simplify(llvm::Function& function) {
  llvm::legacy::FunctionPassManager passes(function.getParent());
  passes.add(llvm::createTargetTransformInfoWrapperPass(machine_->getTargetIRAnalysis()));
  auto clean = [&] {
    passes.add(llvm::createSROAPass(/*PreserveCFG=*/false));
    passes.add(llvm::createEarlyCSEPass());
    passes.add(llvm::createInstructionCombiningPass());
    passes.add(llvm::createCFGSimplificationPass());
  };
  clean();
  passes.add(llvm::createLoopUnrollPass(2, false, false, most_unrolled, /*Count=*/-1, /*AllowPartial=*/0, /*Runtime=*/0, /*UpperBound=*/0, /*AllowPeeling=*/0));
  clean();
  passes.doInitialization();
  passes.run(function);
  passes.doFinalization();
}

ObjectCode Machine::object(llvm::Module& module) {
  ObjectCode code;
  llvm::raw_svector_ostream out(code);
  run(module, out, llvm::CodeGenFileType::ObjectFile);
  return code;
}

std::string Machine::assembly(llvm::Module& module) {
  machine_->Options.MCOptions.AsmVerbose = false;
  llvm::SmallString<0> text;
  llvm::raw_svector_ostream out(text);
  run(module, out, llvm::CodeGenFileType::AssemblyFile);
  return text.str().str();
}

}  // namespace gradc
