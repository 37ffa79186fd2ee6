#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/graph/type.h"

namespace gradc::cli {

// Exit codes of every verb.
enum ExitCode { success = 0, user_error = 1, usage_error = 2, environment_error = 3, internal_bug = 70, interrupted = 130 };

// Thrown to end a verb after its diagnostics were collected.
struct Stop {
  int code;
};

// What every verb that reads a model takes.
struct ModelOptions {
  std::string file;
  std::string model;                  // --model, where a file has several
  std::vector<std::string> set;       // --set train.batch=32
  std::vector<std::string> data;      // --data DIR: where data files are looked for before the model's folder
  std::optional<uint64_t> seed;
  int threads = 0;                    // 0: one per processor that this process may use
  std::string dtype = "f32";
  std::string cpu = "native";
  std::vector<std::string> disabled;  // --without PASS
  bool cache = true;
  bool tune = false;                  // --tune: measure which tiles are fastest
  bool json = false;
};

// Arrays from files: --input x=x.npy, --inputs all.npz, --param, --params, --state, --checkpoint.
struct ArrayOptions {
  std::vector<std::string> input, param, state;
  std::string inputs, params, checkpoint;
};

struct TrainVerb {
  ModelOptions model;
  std::string out;
  bool resume = false, quiet = false;
};
struct RunVerb {
  ModelOptions model;
  ArrayOptions arrays;
  std::vector<std::string> outputs;
  std::string save;
  bool train = false;
  int64_t step = 0;
};
struct EvalVerb {
  ModelOptions model;
  std::string checkpoint, on;  // "test", "train", or empty: the test data where there are any
};
struct PredictVerb {
  ModelOptions model;
  ArrayOptions arrays;
  std::vector<std::string> outputs;
  std::string save;
};
struct GenerateVerb {
  ModelOptions model;
  std::string checkpoint, prompt, logits = "logits";
  int64_t length = 200, top_k = 0;
  double temperature = 1;
};
struct InspectVerb {
  ModelOptions model;
  std::string stage = "graph", format = "text", wrt, only = "*";
};
struct CheckVerb {
  ModelOptions model;
  double tolerance = 1e-6;
};
struct BenchVerb {
  ModelOptions model;
  ArrayOptions arrays;
  int64_t steps = 10;
  double seconds = 1;
  bool machine = false;  // measure the machine's own peaks; then the file may be left out
  bool until_first_step = false;  // how bench starts itself to measure the start
};

struct FmtVerb {
  std::vector<std::string> files;  // "-": from standard input to standard output
  bool check = false;              // change nothing, name what would change
};

int train(const TrainVerb& verb);
int run(const RunVerb& verb);
int eval(const EvalVerb& verb);
int predict(const PredictVerb& verb);
int generate(const GenerateVerb& verb);
int inspect(const InspectVerb& verb);
int check(const CheckVerb& verb);
int bench(const BenchVerb& verb);
int fmt_files(const FmtVerb& verb);

// Parses the command line, runs the verb, turns exceptions into messages and exit codes.
int main(int argc, char** argv);

}  // namespace gradc::cli
