#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/support/diagnostics.h"
#include "frontend/syntax/ast.h"

// What a model file means. AST in, typed graphs out; no kernel, no array, no file is touched here.
namespace gradc {

struct ProgramParts;

struct InputInfo {
  Symbol name;
  Type type;             // with the batch size bound
  SourceSpan span;
  std::vector<Symbol> dims;  // as written in the signature, "" for a number
  // Set where the input is used as an index into an axis (a label, a token): every value must lie in [0, index_limit).
  std::optional<int64_t> index_limit;
  Symbol limit_name;     // what it indexes ("10 columns of logits"), for the message
  SourceSpan limit_span;
};

struct ParameterInfo {
  Symbol path;           // "h1.W": the checkpoint's key
  Type type;
  SourceSpan span;       // of the declaration
  OriginId origin;       // with the chain of calls, in Elaboration::graph's provenance table
  bool used = true;      // by a loss
  Symbol loss;           // that trains it, or could: the first that depends on it among those that may
};

struct StateInfo {
  Symbol path;           // "bn.running_mean", and for optimisers "h1.W.adam.m"
  Type type;
  SourceSpan span;
  bool optimizer = false;
};

// A reader in the language: csv("data/digits.csv", header = true) { image = columns(0..64) / 16; ... }
struct DataSpec {
  Symbol reader;                       // "csv", "rows", ...
  SourceSpan span;
  std::vector<std::string> paths;      // as written, relative to the model file
  std::map<Symbol, double> numbers;    // named numeric and boolean arguments
  std::map<Symbol, std::string> texts; // named string arguments
  const ast::DataReader* syntax = nullptr;
  bool test = false;                   // the key it is given under: draws of `data` and `test` differ
};

struct TrainSpec {
  SourceSpan span;
  std::optional<DataSpec> data;
  double test_share = 0;               // held-out share of `data`, or
  std::optional<DataSpec> test;        // a second source
  std::optional<int64_t> batch;        // none: all rows at once
  std::optional<int64_t> epochs, steps;
  std::optional<int64_t> every;        // steps between reports
  bool keep_remainder = false;
  uint64_t seed = 0;
  std::vector<Symbol> losses;          // what is minimised, usually "loss"
};

struct ElaborateRequest {
  Symbol model;                        // empty: the only one, or the one that the train block names
  bool training = true;                // which branch `if training` takes
  bool update = false;                 // with the optimisers' updates of parameters and states
  Element element = Element::F32;      // of the numbers written without an element type
  std::map<Symbol, int64_t> dims;      // sizes of the free dimension names of the signature
  int64_t default_dim = 0;             // size for free names that `dims` lacks; 0: an error
  int64_t epoch_steps = 0;             // steps per epoch, for schedules given in epochs; 0: an error where one asks
  // Expressions over the model's names to evaluate ("loss", "grad(loss, h1.W)"); empty: the loss and every scalar metric.
  std::vector<std::string> outputs;
};

struct Elaboration {
  Graph graph;                         // outputs as requested; Update outputs where asked for. May hold Grad nodes
  Graph init;                          // outputs: the initial value of every parameter and state, by path (input: seed)
  std::vector<InputInfo> inputs;       // in the order of the signature
  std::vector<ParameterInfo> parameters;
  std::vector<StateInfo> states;
  std::vector<Symbol> metrics;         // the scalars that are outputs, loss first
  std::vector<std::shared_ptr<ast::Expr>> syntax;  // of the requested outputs
};

// A whole model file after name resolution; owns nothing of the AST. `set` holds --set overrides ("train.batch" -> "32").
class Program {
 public:
  // Reports what is wrong with the file as a whole (duplicate names, unknown keys); usable unless errors were reported.
  static std::optional<Program> analyze(const ast::File& file, SourceManager& sources,
                                        const std::map<std::string, std::string>& set, Diagnostics& diagnostics);

  std::vector<Symbol> models() const;
  const std::optional<TrainSpec>& train() const { return train_; }
  // The inputs' signature with free names unbound (size 0).
  std::vector<InputInfo> signature(Symbol model, Diagnostics& diagnostics) const;
  // Sizes of the free names from the shapes of arrays; reports disagreements by name and size.
  std::map<Symbol, int64_t> bind(Symbol model, const std::map<Symbol, Type>& arrays, Diagnostics& diagnostics) const;

  // The typed graph for one purpose. Nothing where errors were reported.
  std::optional<Elaboration> elaborate(const ElaborateRequest& request, Diagnostics& diagnostics) const;
  // What turns a reader's raw tensors ("table": f64[rows, columns] of csv; "input": int[rows, 28, 28] of idx) into the model's
  // inputs; outputs are named as the model's inputs and have as many rows as the raw tensors. It computes in f64 and rounds once;
  // random draws have the model's `element`. `columns` are the header's names where there is a header; `dims` the sizes of
  // dimension names that are known (the batch).
  std::optional<Graph> elaborate_data(const DataSpec& data, const std::map<Symbol, Type>& raw,
                                      const std::vector<std::string>& columns, Element element, Diagnostics& diagnostics,
                                      const std::map<Symbol, int64_t>& dims = {}) const;

 private:
  std::shared_ptr<const ProgramParts> parts_;
  std::optional<TrainSpec> train_;
};

}  // namespace gradc
