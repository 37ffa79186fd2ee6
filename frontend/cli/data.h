#pragma once

#include <set>

#include "compiler/eval/eval.h"
#include "frontend/cli/session.h"
#include "runtime/batches.h"
#include "runtime/npy.h"

namespace gradc::cli {

// What a reader finds in its files, before the graph in its braces.
struct RawRows {
  struct Field {
    RowField rows;
    std::string place;  // the file, for messages
  };
  std::map<std::string, Field> fields;    // by the name that the block uses: "input", "target", "bytes", an array's name
  NamedArrays constants;                  // that have no rows of their own (statistics beside the data in a .npz)
  std::optional<Array> table;             // of a csv, f64[rows, columns]
  std::vector<std::string> columns;       // its header
  std::vector<int64_t> lines;             // of each row in the file; empty where rows have no lines
  std::shared_ptr<const Column> text;     // of text, with the window
  int64_t window = 0;
  int64_t rows = 0;
  std::string place;                      // the file, for messages; empty for inline rows and draws
};

// Reads and checks the files of a reader. Reports every fault that it finds and stops.
RawRows read_files(Session& session, const DataSpec& spec);

// What a data reader of the train block gives: rows as the files hold them, and the graph in its braces, which turns them into
// the model's inputs. Tables and literals (csv, rows) pass through that graph once, when they are read. Everything else passes
// through it batch by batch, compiled, so that images and text stay bytes in memory and random draws are new in every step.
class Source {
 public:
  // Reports every fault that it finds and stops.
  Source(Session& session, const DataSpec& spec);

  const DataSpec& spec() const { return spec_; }
  const Dataset& data() const { return data_; }
  const std::string& place() const { return raw_.place; }
  // Whether every step draws all its points, so that nothing is read by rows.
  bool drawn() const { return drawn_; }
  // The training and the held-out part: rows at random, of a text its end.
  std::pair<Dataset, Dataset> parts(double held_out) const;
  // The types of the model's inputs for a batch of so many rows (as many as are drawn, where they are drawn).
  std::map<Symbol, Type> types(int64_t rows);
  // `part` on its way into a step. The source must outlive it.
  Feed feed(Dataset part);
  // Every value that is used as an index must be inside: reports the first few rows where one is not, and stops.
  void check_indices(const std::vector<InputInfo>& inputs);

 private:
  struct Transform {
    Compiled compiled;
    Variables none;
    std::unique_ptr<StepRunner> runner;
  };

  void transform_table();
  void plan_batches();
  void check_rows_apart();
  void check_batchwise(const std::vector<InputInfo>& inputs);
  void check_direct(const InputInfo& input);
  void check_text(const InputInfo& input, const RowField& field);
  Graph elaborate(int64_t rows);
  Graph batch_graph(int64_t rows, const std::set<Symbol>& outputs);
  StepRunner* transform(int64_t rows);
  std::map<Symbol, Tensor> raw_tensors(int64_t begin, int64_t rows, int64_t shift = 0) const;
  const InputInfo* input(Symbol name) const;
  bool is_rowwise(Symbol name) const;
  std::string row_place(const std::string& file, int64_t row) const;
  void check_integers(const Graph& graph, Interpreter& interpreter, int64_t first_row);

  Session& session_;
  const DataSpec& spec_;
  RawRows raw_;
  Dataset data_;
  std::vector<InputInfo> signature_;
  Symbol batch_;                                 // the dimension that counts rows; empty without one
  std::set<Symbol> batchwise_, random_;          // inputs that are made for every batch; of them, those that are drawn
  std::map<std::string, std::string> files_;     // of inputs that are fields as they are
  bool drawn_ = false;
  int64_t drawn_rows_ = 0;                       // the train block's batch, 0 without one
  std::map<int64_t, std::unique_ptr<Transform>> transforms_;
};

// The name of the dimension that counts rows: the leading dimension of the first input that leaves it open. Empty without one.
Symbol batch_dim(const std::vector<InputInfo>& signature);

// Sizes of the model's free dimensions for inputs of these types (the batch dimension included).
std::map<Symbol, int64_t> bind_dims(Session& session, const std::map<Symbol, Type>& types);

// The same check of arrays that a user gave.
void check_indices(Session& session, const NamedArrays& arrays, const std::vector<InputInfo>& inputs);

// The first `rows` rows of the data as the inputs of a step, in the order of the files; random draws are those of the first step.
void load_first(Session& session, Source& source, int64_t rows, StepRunner& step);

}  // namespace gradc::cli
