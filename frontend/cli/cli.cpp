#include <cstdio>
#include <exception>
#include <functional>
#include <new>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "compiler/support/error.h"
#include "frontend/cli/options.h"

namespace gradc::cli {
namespace {

constexpr const char* version = "gradc 0.1.0";

void add_model_options(CLI::App* verb, ModelOptions& o) {
  verb->add_option("FILE", o.file, "model file (*.grad)")->required();
  verb->add_option("--model", o.model, "which model, where the file has several")->type_name("NAME");
  verb->add_option("--set", o.set, "override a setting: train.batch=32")->type_name("KEY=VALUE")->expected(1)->allow_extra_args(false)->take_all();
  verb->add_option("--data", o.data, "look for data files here before the model's folder")->type_name("DIR")->expected(1)->allow_extra_args(false)->take_all();
  verb->add_option("--seed", o.seed, "seed of everything random")->type_name("N");
  verb->add_option("--threads", o.threads, "threads to run on (default: all processors)")->type_name("N")->check(CLI::Range(1, 1024));
  verb->add_option("--dtype", o.dtype, "element type of numbers: f32 or f64")->check(CLI::IsMember({"f32", "f64"}))->type_name("TYPE");
  verb->add_option("--cpu", o.cpu, "generate code for this processor (x86-64-v3, native, ...)")->type_name("NAME");
  verb->add_option("--without", o.disabled, "leave out a rewrite pass or rule, or strips (of a batch)")->type_name("PASS")->expected(1)->allow_extra_args(false)->take_all();
  verb->add_flag("!--no-cache", o.cache, "compile afresh, keep nothing");
}

void add_tune(CLI::App* verb, ModelOptions& o) { verb->add_flag("--tune", o.tune, "find the fastest tiles for this machine; no bit changes"); }

void add_json(CLI::App* verb, ModelOptions& o) { verb->add_flag("--json", o.json, "print JSON for programs"); }

void add_arrays(CLI::App* verb, ArrayOptions& o) {
  auto many = [verb](const char* flag, std::vector<std::string>& to, const char* doc) {
    verb->add_option(flag, to, doc)->type_name("NAME=FILE")->expected(1)->allow_extra_args(false)->take_all();
  };
  many("--input", o.input, "an input from a .npy, .npz or .safetensors file");
  many("--param", o.param, "a parameter, by its path");
  many("--state", o.state, "a state, by its path");
  verb->add_option("--inputs", o.inputs, "all inputs from one .npz or .safetensors file")->type_name("FILE");
  verb->add_option("--params", o.params, "parameters and states from one file")->type_name("FILE");
  verb->add_option("--checkpoint", o.checkpoint, "parameters and states of a training run")->type_name("FILE");
}

// The verbs with their options; `chosen` is what to run after parsing.
struct CommandLine {
  CLI::App app{"gradc compiles network descriptions to native training steps, and shows the gradient.", "gradc"};
  TrainVerb train_verb;
  RunVerb run_verb;
  EvalVerb eval_verb;
  PredictVerb predict_verb;
  GenerateVerb generate_verb;
  InspectVerb inspect_verb;
  CheckVerb check_verb;
  BenchVerb bench_verb;
  FmtVerb fmt_verb;
  std::function<int()> chosen;

  CommandLine() {
    app.require_subcommand(1);
    app.set_version_flag("--version", version);
    app.footer("Each verb explains itself: gradc train --help");
    app.failure_message([](const CLI::App* a, const CLI::Error& e) {
      return fmt::format("gradc: error: {}\nTry '{} --help'.\n", e.what(), a->get_parent() ? a->get_parent()->get_name() + " " + a->get_name() : a->get_name());
    });
    add_train();
    add_eval();
    add_predict();
    add_generate();
    add_run();
    add_inspect();
    add_check();
    add_bench();
    add_fmt();
  }

  void add_train() {
    CLI::App* verb = app.add_subcommand("train", "compile and train a model on the data of its train block");
    add_model_options(verb, train_verb.model);
    add_json(verb, train_verb.model);
    add_tune(verb, train_verb.model);
    verb->add_option("--out", train_verb.out, "folder for metrics.jsonl and checkpoint.safetensors")->type_name("DIR");
    verb->add_flag("--resume", train_verb.resume, "go on with the run in --out")->needs("--out");
    verb->add_flag("--quiet", train_verb.quiet, "print nothing but the result");
    verb->footer("Example: gradc train examples/digits.grad --set train.epochs=5 --out runs/digits");
    verb->callback([this] { chosen = [this] { return train(train_verb); }; });
  }

  static void add_checkpoint(CLI::App* verb, std::string& to) {
    verb->add_option("--checkpoint", to, "checkpoint.safetensors of a training run")->type_name("FILE")->required();
  }

  void add_eval() {
    CLI::App* verb = app.add_subcommand("eval", "metrics of a checkpoint on the test data of the train block");
    add_model_options(verb, eval_verb.model);
    add_json(verb, eval_verb.model);
    add_checkpoint(verb, eval_verb.checkpoint);
    verb->add_option("--on", eval_verb.on, "test or train: which rows (default: test where there are any)")->check(CLI::IsMember({"test", "train"}))->type_name("ROWS");
    verb->footer("Example: gradc eval examples/digits.grad --checkpoint runs/digits/checkpoint.safetensors");
    verb->callback([this] { chosen = [this] { return eval(eval_verb); }; });
  }

  void add_predict() {
    CLI::App* verb = app.add_subcommand("predict", "values of a trained model for any number of new rows");
    add_model_options(verb, predict_verb.model);
    add_json(verb, predict_verb.model);
    add_checkpoint(verb, predict_verb.arrays.checkpoint);
    verb->add_option("--input", predict_verb.arrays.input, "an input from a .npy, .npz or .safetensors file")->type_name("NAME=FILE")->expected(1)->allow_extra_args(false)->take_all();
    verb->add_option("--inputs", predict_verb.arrays.inputs, "all inputs from one .npz or .safetensors file")->type_name("FILE");
    verb->add_option("--output", predict_verb.outputs, "what to compute: logits, \"argmax(logits)\"")->type_name("EXPR")->expected(1)->allow_extra_args(false)->take_all()->required();
    verb->add_option("--save", predict_verb.save, "write the values to a .npz or .safetensors file")->type_name("FILE");
    verb->footer("Inputs that the outputs do not need, such as labels, may be left out.\n"
                 "Example: gradc predict examples/digits.grad --checkpoint runs/digits/checkpoint.safetensors --input image=x.npy --output \"argmax(logits)\" --save out.npz");
    verb->callback([this] { chosen = [this] { return predict(predict_verb); }; });
  }

  void add_generate() {
    CLI::App* verb = app.add_subcommand("generate", "new text from a model that is trained on text(...)");
    add_model_options(verb, generate_verb.model);
    add_json(verb, generate_verb.model);
    add_checkpoint(verb, generate_verb.checkpoint);
    verb->add_option("--prompt", generate_verb.prompt, "how the text begins")->type_name("TEXT");
    verb->add_option("--length", generate_verb.length, "bytes to add (200)")->type_name("N")->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
    verb->add_option("--temperature", generate_verb.temperature, "below 1 more likely bytes, above 1 more variety; 0: always the likeliest")->type_name("X")->check(CLI::Range(0.0, 1e6));
    verb->add_option("--top-k", generate_verb.top_k, "only among the K likeliest bytes")->type_name("K")->check(CLI::Range(int64_t{1}, int64_t{256}));
    verb->add_option("--logits", generate_verb.logits, "the value whose softmax is the next byte's distribution (logits)")->type_name("EXPR");
    verb->footer("The same seed gives the same text.\n"
                 "Example: gradc generate examples/char_lstm.grad --checkpoint runs/lstm/checkpoint.safetensors --prompt \"The \" --temperature 0.8 --seed 1");
    verb->callback([this] { chosen = [this] { return generate(generate_verb); }; });
  }

  void add_run() {
    CLI::App* verb = app.add_subcommand("run", "evaluate any value and any gradient");
    add_model_options(verb, run_verb.model);
    add_json(verb, run_verb.model);
    add_tune(verb, run_verb.model);
    add_arrays(verb, run_verb.arrays);
    verb->add_option("--output", run_verb.outputs, "expression to evaluate: loss, h1, \"grad(loss, h1.W)\"")->type_name("EXPR")->expected(1)->allow_extra_args(false)->take_all();
    verb->add_option("--save", run_verb.save, "write the outputs to a .npz or .safetensors file")->type_name("FILE");
    verb->add_flag("--train", run_verb.train, "the training form of the model (dropout, batch statistics)");
    verb->add_option("--step", run_verb.step, "number of the step, for random numbers and schedules")->type_name("N");
    verb->footer("Without --input, the first batch of the train block's data is used.\n"
                 "Example: gradc run examples/one_hidden_neuron.grad --dtype f64 --output loss --output \"grad(loss, w1)\"");
    verb->callback([this] { chosen = [this] { return run(run_verb); }; });
  }

  void add_inspect() {
    CLI::App* verb = app.add_subcommand("inspect", "show any stage from the source to the machine code");
    add_model_options(verb, inspect_verb.model);
    verb->add_option("--stage", inspect_verb.stage, "ast, graph, backward, optimized, kernels, memory, llvm or asm")
        ->check(CLI::IsMember({"ast", "graph", "backward", "optimized", "kernels", "memory", "llvm", "asm"}))->type_name("STAGE");
    verb->add_option("--format", inspect_verb.format, "text; for graphs also ir (parses back) and dot")
        ->check(CLI::IsMember({"text", "ir", "dot"}))->type_name("FORMAT");
    verb->add_option("--wrt", inspect_verb.wrt, "only the gradient with respect to this value")->type_name("NAME");
    verb->add_option("--only", inspect_verb.only, "llvm and asm: kernels whose name matches")->type_name("GLOB");
    verb->footer("Example: gradc inspect examples/digits.grad --stage backward --wrt h1.W");
    verb->callback([this] { chosen = [this] { return inspect(inspect_verb); }; });
  }

  void add_check() {
    CLI::App* verb = app.add_subcommand("check", "symbolic against numeric gradients, and every pass against the graph before it");
    add_model_options(verb, check_verb.model);
    add_json(verb, check_verb.model);
    verb->add_option("--tolerance", check_verb.tolerance, "largest relative difference that passes")->type_name("X")->check(CLI::PositiveNumber);
    verb->footer("Works in f64 with a batch of 4.\nExample: gradc check examples/digits.grad");
    verb->callback([this] { chosen = [this] { return check(check_verb); }; });
  }

  void add_bench() {
    CLI::App* verb = app.add_subcommand("bench", "time compilation, steps and kernels");
    add_model_options(verb, bench_verb.model);
    add_json(verb, bench_verb.model);
    add_tune(verb, bench_verb.model);
    add_arrays(verb, bench_verb.arrays);
    verb->add_option("--steps", bench_verb.steps, "updates before the losses and the digest are reported")->type_name("K")->check(CLI::NonNegativeNumber);
    verb->add_option("--seconds", bench_verb.seconds, "how long to time further updates")->type_name("S")->check(CLI::NonNegativeNumber);
    verb->add_flag("--machine", bench_verb.machine, "measure again what this machine can do; FILE may be left out");
    verb->add_flag("--until-first-step", bench_verb.until_first_step)->group("");  // hidden: bench gives it to itself
    verb->footer("Example: gradc bench examples/digits.grad --threads 1");
    CLI::Option* file = verb->get_option("FILE")->required(false);
    verb->callback([this, file] {
      if (!*file && !bench_verb.machine) throw CLI::RequiredError("FILE");
      chosen = [this] { return bench(bench_verb); };
    });
  }

  void add_fmt() {
    CLI::App* verb = app.add_subcommand("fmt", "lay out model files: indentation, spaces, columns, empty lines");
    verb->add_option("FILES", fmt_verb.files, "model files (*.grad); - reads standard input and writes standard output")->required();
    verb->add_flag("--check", fmt_verb.check, "change nothing; name the files that would change and exit with 1");
    verb->footer("Example: gradc fmt --check examples/*.grad");
    verb->callback([this] { chosen = [this] { return fmt_files(fmt_verb); }; });
  }
};

int report(const char* what, const std::string& message, int code) {
  std::fprintf(stderr, "gradc: %s: %s\n", what, message.c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line;
  try {
    line.app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    int code = line.app.exit(e);
    return code == 0 ? success : usage_error;
  }
  try {
    return line.chosen();
  } catch (const Stop& stop) {
    return stop.code;
  } catch (const EnvironmentError& e) {
    return report("error", e.what(), environment_error);
  } catch (const std::bad_alloc&) {
    return report("error", "out of memory", environment_error);
  } catch (const std::exception& e) {
    return report("internal error", fmt::format("{}\nThis is a bug of ours. Please report it with the model file and the command line ({}).", e.what(), version),
                  internal_bug);
  }
}

}  // namespace gradc::cli
