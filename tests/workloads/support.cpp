#include "tests/workloads/support.h"

#include <map>

#include <catch2/catch.hpp>

#include "tests/support/process.h"

namespace gradc::test {

const std::vector<std::string>& processors() {
  static const std::vector<std::string> found = [] {
    std::vector<std::string> able;
    for (const char* cpu : {"x86-64-v3", "x86-64-v4"}) {
      const ProcessResult r = run_process({GRADC_PROGRAM, "inspect", source("tests/bench/workloads/tiny.grad"), "--stage", "kernels", "--cpu", cpu});
      INFO(r.err);
      REQUIRE((r.code == 0 || r.err.find("this machine cannot run code") != std::string::npos));
      if (r.code == 0) able.push_back(cpu);
    }
    return able;
  }();
  return found;
}

static std::string inspected(const std::string& workload, const std::string& cpu, const char* stage) {
  const ProcessResult r = run_process({GRADC_PROGRAM, "inspect", source("tests/bench/workloads/" + workload + ".grad"), "--stage", stage, "--cpu", cpu, "--no-cache"});
  INFO(r.err);
  REQUIRE(r.code == 0);
  return r.out;
}

const KernelProgram& step_of(const std::string& workload, const std::string& cpu) {
  static std::map<std::pair<std::string, std::string>, KernelProgram> known;
  auto it = known.find({workload, cpu});
  if (it != known.end()) return it->second;
  SourceManager sources;
  KernelParseResult parsed = parse_kernels(inspected(workload, cpu, "kernels"), sources);
  INFO(parsed.error);
  REQUIRE(parsed.program);
  return known[{workload, cpu}] = std::move(*parsed.program);
}

std::string assembly_of(const std::string& workload, const std::string& cpu) { return inspected(workload, cpu, "asm"); }

bool is_contraction(const KernelProgram& program, const KernelInstance& call) { return std::holds_alternative<Contraction>(program[call.body].form); }

int64_t bytes_of(const Buffer& buffer) { return buffer.type.count() * static_cast<int64_t>(byte_size(buffer.type.element)); }

std::vector<const Stmt*> touches(const KernelProgram& program, const KernelInstance& call, size_t slot) {
  std::vector<const Stmt*> found;
  for (const Stmt* s : statements(program[call.body])) {
    const bool memory = s->kind == StmtKind::Load || s->kind == StmtKind::Store || s->kind == StmtKind::Accumulate;
    if (memory && s->access.slot == static_cast<int>(slot)) found.push_back(s);
  }
  return found;
}

}  // namespace gradc::test
