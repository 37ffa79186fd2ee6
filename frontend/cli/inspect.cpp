#include <cstdio>
#include <cstdlib>

#include "compiler/graph/dot.h"
#include "compiler/support/error.h"
#include "compiler/support/text.h"
#include "frontend/cli/data.h"
#include "frontend/cli/listing.h"
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

// By buffer: what a loop goes through a part at a time, "64 x 32768", or with a carry that changes places "in turns".
std::vector<std::string> moves_of(const KernelProgram& program) {
  std::vector<std::string> out(program.buffers.size());
  for (const KernelInstance& k : program.instances) {
    for (size_t slot = 0; slot < k.places.size(); ++slot) {
      std::string text;
      for (const Move& m : k.places[slot].moves) {
        const std::string step = m.period > 0 ? "in turns" : fmt::format("{} x {}", program.loops[static_cast<size_t>(m.loop)].trips, std::abs(m.stride));
        text += (text.empty() ? "" : ", ") + step;
      }
      std::string& known = out[k.buffers[slot].at()];
      if (text.size() > known.size()) known = text;
    }
  }
  return out;
}

void show_memory(const KernelProgram& program) {
  fmt::print("arena {} ({} live at once)\n\n{:<40} {:<10} {:>12} {:>12}{}\n", human_bytes(static_cast<double>(program.arena_bytes)),
             human_bytes(static_cast<double>(program.arena_lower_bound)), "buffer", "kind", "bytes", "offset", program.loops.empty() ? "" : "  by trip");
  constexpr const char* kinds[] = {"input", "parameter", "state", "output", "temporary", "shadow"};
  const std::vector<std::string> moves = moves_of(program);
  for (size_t i = 0; i < program.buffers.size(); ++i) {
    const Buffer& b = program.buffers[i];
    std::string offset = b.kind == BufferKind::Temporary ? fmt::to_string(b.offset) : "";
    fmt::print("{:<40} {:<10} {:>12} {:>12}{}\n", b.name, kinds[static_cast<size_t>(b.kind)],
               b.type.count() * static_cast<int64_t>(byte_size(b.type.element)), offset, moves[i].empty() ? "" : "  " + moves[i]);
  }
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
  else if (verb.stage == "memory") show_memory(compiled.kernels);
  else if (verb.stage == "llvm") put(llvm_text(compiled.kernels, verb.only));
  else put(assembly_text(compiled.kernels, verb.only));
  return success;
}

}  // namespace gradc::cli
