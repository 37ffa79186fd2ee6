#pragma once

#include <string>

#include <llvm/IR/DIBuilder.h>

namespace gradc {

// Debug information of one body: subprograms whose lines are numbers of statements.
class LineTable {
 public:
  LineTable(llvm::Module& module, const std::string& name);
  ~LineTable() { di_.finalize(); }

  llvm::DISubprogram* add(llvm::Function& function);

 private:
  llvm::DIBuilder di_;
  llvm::DIFile* file_;
};

}  // namespace gradc
