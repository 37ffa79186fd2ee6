#pragma once

#include <memory>
#include <string>

#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include "compiler/schedule/target.h"

namespace gradc {

using ObjectCode = llvm::SmallVector<char, 0>;

// LLVM's code generator for one target. Not shared between threads.
class Machine {
 public:
  explicit Machine(const Target& target);

  // A module with the target's triple and data layout.
  std::unique_ptr<llvm::Module> new_module(llvm::LLVMContext& context, const std::string& name) const;
  // LLVM's own simplifications: memory that is local becomes registers, loops of few known trips straight code. For code that was not
  // emitted in its final form. Floating-point results stay the same to the bit.
  void simplify(llvm::Function& function);
  ObjectCode object(llvm::Module& module);
  std::string assembly(llvm::Module& module);

 private:
  void run(llvm::Module& module, llvm::raw_pwrite_stream& out, llvm::CodeGenFileType type);
  std::unique_ptr<llvm::TargetMachine> machine_;
};

}  // namespace gradc
