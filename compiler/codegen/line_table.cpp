#include "compiler/codegen/line_table.h"

#include <llvm/IR/Module.h>

namespace gradc {

LineTable::LineTable(llvm::Module& module, const std::string& name) : di_(module), file_(di_.createFile(name, "")) {
  if (!module.getModuleFlag("Debug Info Version")) module.addModuleFlag(llvm::Module::Warning, "Debug Info Version", llvm::DEBUG_METADATA_VERSION);
  di_.createCompileUnit(llvm::dwarf::DW_LANG_C, file_, "gradc", true, "", 0, "", llvm::DICompileUnit::LineTablesOnly);
}

llvm::DISubprogram* LineTable::add(llvm::Function& f) {
  auto* type = di_.createSubroutineType(di_.getOrCreateTypeArray({}));
  auto* scope = di_.createFunction(file_, f.getName(), f.getName(), file_, 0, type, 0, llvm::DINode::FlagZero,
                                   llvm::DISubprogram::SPFlagDefinition | llvm::DISubprogram::SPFlagOptimized);
  f.setSubprogram(scope);
  return scope;
}

}  // namespace gradc
