#include "compiler/codegen/codegen.h"

#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

#include "compiler/codegen/contraction.h"
#include "compiler/codegen/emitter.h"
#include "compiler/codegen/line_table.h"
#include "compiler/support/error.h"

namespace gradc {
namespace {

llvm::Function* declare(llvm::Module& module, const Target& target, const std::string& symbol) {
  llvm::LLVMContext& c = module.getContext();
  llvm::Type *pointer = llvm::PointerType::getUnqual(c), *i64 = llvm::Type::getInt64Ty(c);
  auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(c), {pointer, i64, i64, pointer}, false);
  auto* f = llvm::Function::Create(type, llvm::Function::ExternalLinkage, symbol, module);
  const char* names[] = {"buffers", "begin", "end", "scratch"};
  for (unsigned i = 0; i < 4; ++i) f->getArg(i)->setName(names[i]);
  for (unsigned i : {0u, 3u}) f->addParamAttr(i, llvm::Attribute::NonNull);
  f->setDoesNotThrow();
  f->addFnAttr("target-cpu", target.cpu);
  if (!target.features.empty()) f->addFnAttr("target-features", target.features);
  // Some CPUs with 512-bit registers prefer 256 of their own accord; the scheduler has decided.
  std::string bits = std::to_string(target.vector_bytes * 8);
  f->addFnAttr("prefer-vector-width", bits);
  f->addFnAttr("min-legal-vector-width", bits);
  return f;
}

}  // namespace

llvm::Function* emit_body(const KernelBody& body, const Target& target, llvm::Module& module, const std::string& symbol, bool debug_info) {
  llvm::Function* f = declare(module, target, symbol);
  std::optional<LineTable> lines;
  if (debug_info) lines.emplace(module, symbol);  // never the body's name for people: equal bodies give equal objects
  Builder builder(llvm::BasicBlock::Create(module.getContext(), "entry", f));
  llvm::DISubprogram* scope = lines ? lines->add(*f) : nullptr;
  if (scope) builder.SetCurrentDebugLocation(llvm::DILocation::get(module.getContext(), 0, 0, scope));
  StatementEmitter statements(builder, body, f->getArg(0), scope);
  BodyContext context{body, target, f, builder, statements, lines ? &*lines : nullptr, f->getArg(1), f->getArg(2), f->getArg(3)};
  if (const Nest* nest = std::get_if<Nest>(&body.form)) {
    emit_nest(*nest, context);
  } else {
    emit_contraction(std::get<Contraction>(body.form), context);
  }
  statements.locate(nullptr);
  builder.CreateRetVoid();
  lines.reset();
#ifndef NDEBUG
  std::string problem;
  llvm::raw_string_ostream out(problem);
  GRADC_ASSERT(!llvm::verifyFunction(*f, &out), "invalid code for body '{}': {}", body.name, problem);
#endif
  return f;
}

int64_t scratch_bytes(const KernelBody& body, const Target& target) {
  const Contraction* c = std::get_if<Contraction>(&body.form);
  return c ? contraction_scratch_bytes(*c, target) : 0;
}

}  // namespace gradc
