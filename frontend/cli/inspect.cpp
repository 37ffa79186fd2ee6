#include <cstdio>
#include <cstdlib>

#include "compiler/graph/dot.h"
#include "compiler/support/error.h"
#include "frontend/cli/data.h"
#include "frontend/cli/listing.h"
#include "frontend/cli/memory.h"
#include "frontend/syntax/print.h"

namespace gradc::cli {
namespace {

constexpr int64_t default_batch = 4;

// The step that `train` would compile; with --wrt only what one gradient needs.
ElaborateRequest request_for(Session& session, const InspectVerb& verb) {
  ElaborateRequest request = session.request(true, verb.wrt.empty());
  request.default_dim = session.program->train() && session.program->train()->batch ? *session.program->train()->batch : default_batch;
  if (!verb.wrt.empty()) {
    ElaborateRequest plain = request;
    Elaboration meaning = session.elaborate(plain);
    std::string loss = meaning.metrics.empty() ? "loss" : meaning.metrics.front().str();
    request.outputs = {loss, fmt::format("grad({}, {})", loss, verb.wrt)};
  }
  return request;
}

void put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (!text.empty() && text.back() != '\n') std::fputc('\n', stdout);
}

void show_graph(Session& session, const InspectVerb& verb, const Graph& graph) {
  if (verb.format == "dot") put(to_dot(graph, session.sources));
  else if (verb.format == "ir") put(print(graph, session.sources));
  else put(listing(graph, session.sources));
}

}  // namespace

int inspect(const InspectVerb& verb) {
  Session session(verb.model);
  if (verb.stage == "ast") {
    put(print(*session.syntax, session.sources));
    return success;
  }
  Elaboration meaning = session.elaborate(request_for(session, verb));
  if (verb.stage == "graph") {
    show_graph(session, verb, meaning.graph.compacted());
    return success;
  }
  session.compile_options.jit_code = false;
  Compiled compiled = session.compile(std::move(meaning.graph));
  if (verb.stage == "backward") show_graph(session, verb, compiled.backward.compacted());
  else if (verb.stage == "optimized") show_graph(session, verb, compiled.optimized);
  else if (verb.stage == "kernels") put(print(compiled.kernels, session.sources));
  else if (verb.stage == "memory") put(memory_text(compiled.kernels));
  else if (verb.stage == "llvm") put(llvm_text(compiled.kernels, verb.only));
  else put(assembly_text(compiled.kernels, verb.only));
  return success;
}

}  // namespace gradc::cli
