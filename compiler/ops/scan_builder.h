#pragma once

#include <map>

#include "compiler/graph/scan.h"
#include "compiler/ops/expr.h"

namespace gradc {

// What a scan leaves behind, as values of the graph around it.
struct ScanResults {
  Expr scan;
  std::vector<Expr> carries;    // last values
  std::vector<Expr> emissions;  // along a new axis 0
};

// Writes a scan as formulas:
//
//   ScanBuilder s(b, {.length = 64});
//   Expr h = s.carry(h0, "h"), x = s.element(xs, "x");
//   Expr y = tanh(s.inside(w) * x + h);
//   s.next(h, y);
//   s.emit(y);
//   ScanResults r = s.finish();
//
// Expressions of the body belong to its own builder, body(), and end with finish(). A scan within a scan is built with
// ScanBuilder(outer.body(), ..., &outer), so that inside() reaches through both. Provenance ids belong to the table of the
// outermost graph: set body().provenance to them; it begins as that of the outer builder.
class ScanBuilder {
 public:
  struct Options {
    int64_t length = 1;
    bool reverse = false;
    bool recompute = false;
  };
  ScanBuilder(GraphBuilder& outer, const Options& options, ScanBuilder* parent = nullptr);
  ScanBuilder(const ScanBuilder&) = delete;

  GraphBuilder& body() { return builder_; }

  // Inputs of the body. Names are hints for people.
  Expr carry(Expr initial, Symbol name = {});
  Expr element(Expr sequence, Symbol name = {});
  // A value of the body for one of the graph around it, or of a graph around that: the same operand gives the same input;
  // constants are written again inside. What is already of the body stays.
  Expr inside(Expr value);

  void next(Expr carry, Expr value);  // once for each carry
  size_t emit(Expr value, Symbol name = {});  // which emission it is

  ScanResults finish();

 private:
  struct Input {
    NodeId outer, inner;
    Symbol name;
  };
  Expr add_input(Expr outer, const Type& type, const char* role, Symbol name, std::vector<size_t>& list);
  std::shared_ptr<const Graph> ordered_body(const std::vector<size_t>& order) const;

  GraphBuilder& outer_;
  ScanBuilder* parent_;
  Options options_;
  Graph body_;
  GraphBuilder builder_{body_};
  std::vector<Input> inputs_;  // as they were asked for
  std::vector<size_t> carries_, sequences_, constants_;  // positions in inputs_
  std::map<NodeId, NodeId> captured_;
  std::map<NodeId, NodeId> next_;  // of each carry
  std::vector<std::pair<NodeId, Symbol>> emissions_;
};

// A scan node with a body made elsewhere, and its results.
ScanResults scan(GraphBuilder& b, const std::vector<NodeId>& operands, std::shared_ptr<const Graph> body, size_t carries, size_t sequences,
                 const ScanBuilder::Options& options);
Expr result(Expr scan, size_t index);

// An Input node of a body for operand `index` of a scan, with the name by which bodies are compared ("carry0").
Expr body_input(GraphBuilder& body, const char* role, size_t index, const Type& type, Symbol name = {});
// "next0" or "emission0": what output `index` of a body is called.
Symbol body_output_name(size_t index, size_t carries);

}  // namespace gradc
