#include <set>
#include <sstream>

#include <llvm/Support/raw_ostream.h>

#include "compiler/codegen/codegen.h"
#include "compiler/jit/fused_step.h"
#include "compiler/jit/jit.h"
#include "compiler/jit/machine.h"
#include "compiler/support/text.h"

// LLVM IR and assembly of bodies, for people.
namespace gradc {
namespace {

// A body is asked for by its own name or by that of a call.
bool wanted(const KernelProgram& program, size_t body, const std::string& only) {
  if (glob_match(only, program.bodies[body].name.str())) return true;
  for (const KernelInstance& instance : program.instances)
    if (instance.body.at() == body && glob_match(only, instance.name.str())) return true;
  return false;
}

template <class F>
std::string for_each_module(const KernelProgram& program, const std::string& only, bool debug_info, F text_of) {
  Machine machine(program.target);
  std::set<std::string> taken;
  std::string result;
  for (size_t i = 0; i < program.bodies.size(); ++i) {
    const KernelBody& body = program.bodies[i];
    std::string symbol = body.name.empty() ? fmt::format("body{}", i) : body.name.str();
    if (!taken.insert(symbol).second) symbol += fmt::format(".{}", i);
    if (!wanted(program, i, only)) continue;
    llvm::LLVMContext context;
    auto module = machine.new_module(context, symbol);
    emit_body(body, program.target, *module, symbol, debug_info);
    if (!result.empty()) result += '\n';
    result += text_of(machine, *module);
  }
  return result;
}

bool begins_with_any(std::string_view line, std::initializer_list<std::string_view> prefixes) {
  for (std::string_view prefix : prefixes)
    if (line.starts_with(prefix)) return true;
  return false;
}

// Without what only the assembler and debuggers read; locations become comments that name the statement, from 1.
std::string readable(const std::string& assembly) {
  std::istringstream in(assembly);
  std::string result, line, statement;
  bool debug_section = false;
  while (std::getline(in, line)) {
    const size_t start = line.find_first_not_of(" \t");
    if (start == std::string::npos) continue;
    const std::string_view text = std::string_view(line).substr(start);
    if (text.starts_with(".section")) {
      debug_section = text.find(".debug") != std::string_view::npos || text.find(".note") != std::string_view::npos;
      if (!debug_section) result += line + '\n';
      continue;
    }
    if (text == ".text") debug_section = false;
    if (debug_section) continue;
    if (text.starts_with(".loc")) {
      std::istringstream fields{std::string(text)};
      std::string directive, file, number;
      fields >> directive >> file >> number;
      if (number != statement) {
        if (number != "0") result += "\t# statement " + number + '\n';
        statement = number;
      }
      continue;
    }
    if (begins_with_any(text, {".file", ".cfi_", ".type", ".size", ".ident", ".addrsig", ".Ltmp", ".Lfunc_", ".Ldebug", ".Lsec_end", ".globl"})) continue;
    result += line + '\n';
  }
  return result;
}

std::string fused_assembly(const KernelProgram& program) {
  Machine machine(program.target);
  llvm::LLVMContext context;
  auto module = machine.new_module(context, "fused");
  const CallList plan = list_fused_calls(program);
  fuse_step(program, plan, *module, machine).function->setLinkage(llvm::GlobalValue::ExternalLinkage);
  for (const StepCall& call : plan.calls)  // they are listed already
    if (llvm::Function* kernel = module->getFunction(call.symbol)) kernel->eraseFromParent();
  return readable(machine.assembly(*module));
}

}  // namespace

std::string llvm_text(const KernelProgram& program, const std::string& only) {
  return for_each_module(program, only, true, [](Machine&, llvm::Module& module) {
    std::string text;
    llvm::raw_string_ostream out(text);
    module.print(out, nullptr);
    return text;
  });
}

std::string assembly_text(const KernelProgram& program, const std::string& only) {
  std::string text = for_each_module(program, only, true, [](Machine& machine, llvm::Module& module) { return readable(machine.assembly(module)); });
  return glob_match(only, "fused") && worth_fusing(program) ? text + fused_assembly(program) : text;
}

}  // namespace gradc
