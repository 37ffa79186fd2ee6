#include "frontend/sema/train.h"

#include <algorithm>
#include <cmath>

#include "compiler/support/text.h"

namespace gradc::sema {
namespace {

// A reader of data: how many file names it takes and what may be named.
struct ReaderInfo {
  const char* name;
  size_t least_paths, most_paths;
  std::vector<std::string> options;
};
const std::vector<ReaderInfo>& readers() {
  static const std::vector<ReaderInfo> table = {{"csv", 1, 1, {"header", "separator"}}, {"idx", 1, 2, {}}, {"npz", 1, 1, {}},
                                                {"text", 1, 1, {"window"}},             {"rows", 0, 0, {}}, {"draws", 0, 0, {}}};
  return table;
}

class TrainReader {
 public:
  TrainReader(const ast::Train& train, const ast::Model& model, const std::map<std::string, const ast::Expr*>& overrides, Elaborator& sema)
      : train_(train), model_(model), overrides_(overrides), sema_(sema) {}

  Training read() {
    out_.model = train_.model.name;
    out_.spec.span = train_.model.span;
    for (const ast::TrainEntry& e : train_.entries) {
      sema_.at_top_level([&] { entry(e); });
    }
    for (const auto& [key, e] : overrides_) {
      if (seen_.count(key) == 0) sema_.at_top_level([&, k = key, v = e] { value(k, *v); });
    }
    sema_.at_top_level([&] { objectives(); });
    sema_.at_top_level([&] { check_held_out(); });
    return std::move(out_);
  }

 private:
  void entry(const ast::TrainEntry& e) {
    std::string key = e.key.name.str();
    std::vector<std::string> keys = train_keys();
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      Diagnostic& d = sema_.report(DiagnosticKind::UnknownKey, e.key.span, key);
      if (auto near = nearest(key, keys)) d.note(fmt::format("did you mean '{}'?", *near));
      else d.note(fmt::format("the keys are {}", fmt::join(keys, ", ")));
      sema_.abort();
    }
    auto [it, fresh] = seen_.try_emplace(key, e.key.span);
    if (!fresh) {
      sema_.report(DiagnosticKind::DuplicateKey, e.key.span, key).note(it->second, "first given here");
      sema_.abort();
    }
    auto changed = overrides_.find(key);
    if (changed != overrides_.end()) return value(key, *changed->second);
    if (e.reader) {
      if (key != "data" && key != "test") {
        sema_.report(DiagnosticKind::WrongType, e.reader->span, sema_.quote(e.reader->span), "a value", "a source of data");
        sema_.abort();
      }
      (key == "data" ? out_.spec.data : out_.spec.test) = source(*e.reader, key == "test");
      return;
    }
    value(key, *e.value);
  }

  // Draws have no rows that could be held out.
  void check_held_out() {
    const TrainSpec& s = out_.spec;
    if (!s.data || s.data->reader != Symbol("draws") || s.test_share == 0) return;
    sema_.report(DiagnosticKind::NothingToHoldOut, seen_.count("test") ? seen_["test"] : s.span, shortest(s.test_share))
        .note("a second source gives points to test on: test = draws { ... }");
  }

  int64_t positive(const ast::Expr& e, const char* what) {
    int64_t n = sema_.integer_of(sema_.evaluate(e), e.span, what);
    if (n > 0) return n;
    sema_.report(DiagnosticKind::NotPositive, e.span, what, n);
    sema_.abort();
  }

  // "critic.*", or a list of such.
  std::vector<std::string> patterns(const ast::Expr& e) {
    Value v = sema_.evaluate(e);
    std::vector<Value> items = v.list() ? v.list()->items : std::vector<Value>{v};
    std::vector<std::string> out;
    for (const Value& item : items) {
      auto* text = item.as<std::string>();
      if (!text) {
        sema_.report(DiagnosticKind::WrongType, e.span, sema_.quote(e.span), "a pattern of parameter paths in quotes", sema_.describe(item));
        sema_.abort();
      }
      out.push_back(*text);
    }
    return out;
  }

  void value(const std::string& key, const ast::Expr& e) {
    TrainSpec& s = out_.spec;
    if (key == "batch") s.batch = positive(e, "the batch");
    else if (key == "epochs") s.epochs = positive(e, "the number of epochs");
    else if (key == "steps") s.steps = positive(e, "the number of steps");
    else if (key == "every") s.every = positive(e, "the number of steps between reports");
    else if (key == "optimizer") optimizer_ = &e;
    else if (key == "freeze") frozen_ = patterns(e), frozen_at_ = e.span;
    else if (key == "seed") {
      int64_t seed = sema_.integer_of(sema_.evaluate(e), e.span, "the seed");
      if (seed < 0) {
        sema_.report(DiagnosticKind::NotPositive, e.span, "the seed", seed);
        sema_.abort();
      }
      s.seed = static_cast<uint64_t>(seed);
    } else if (key == "test") {
      s.test_share = sema_.number_of(sema_.evaluate(e), e.span, "the held-out share");
      if (!(s.test_share >= 0 && s.test_share < 1)) {
        sema_.report(DiagnosticKind::ShareOutOfRange, e.span, shortest(s.test_share));
        sema_.abort();
      }
    } else if (key == "remainder") {
      auto* n = ast::strip(e).as<ast::Name>();
      bool keep = n && n->name == Symbol("keep");
      if (!keep && !(n && n->name == Symbol("drop"))) {
        sema_.report(DiagnosticKind::WrongType, e.span, sema_.quote(e.span), "'keep' or 'drop'", "something else");
        sema_.abort();
      }
      s.keep_remainder = keep;
    } else {
      sema_.report(DiagnosticKind::WrongType, e.span, sema_.quote(e.span), "a source of data, as in csv(\"file.csv\") { ... },", "something else");
      sema_.abort();
    }
  }

  DataSpec source(const ast::DataReader& r, bool test) {
    DataSpec d;
    d.test = test;
    d.reader = r.reader.name;
    d.span = r.reader.span;
    d.syntax = &r;
    auto info = std::find_if(readers().begin(), readers().end(), [&](const ReaderInfo& i) { return d.reader == Symbol(i.name); });
    if (info == readers().end()) {
      std::vector<std::string> names;
      for (const ReaderInfo& i : readers()) names.push_back(i.name);
      Diagnostic& problem = sema_.report(DiagnosticKind::UnknownReader, r.reader.span, r.reader.name);
      if (auto near = nearest(r.reader.name.str(), names)) problem.note(fmt::format("did you mean '{}'?", *near));
      else problem.note(fmt::format("the readers are {}", fmt::join(names, ", ")));
      sema_.abort();
    }
    for (const ast::Argument& a : r.arguments) argument(a, *info, d);
    if (d.paths.size() < info->least_paths) {
      sema_.report(DiagnosticKind::MissingArgument, r.span, d.reader, "a file name");
      sema_.abort();
    }
    if (d.reader == Symbol("text") && !d.numbers.count("window")) {
      sema_.report(DiagnosticKind::MissingArgument, r.span, d.reader, "window").note("text(\"book.txt\", window = 128) gives windows of 128 bytes");
      sema_.abort();
    }
    bindings(r);
    return d;
  }

  void argument(const ast::Argument& a, const ReaderInfo& info, DataSpec& d) {
    Value v = sema_.evaluate(*a.value);
    auto* text = v.as<std::string>();
    if (!a.name) {
      if (!text) {
        sema_.report(DiagnosticKind::WrongType, a.span, sema_.quote(a.span), "a file name in quotes", sema_.describe(v));
        sema_.abort();
      }
      d.paths.push_back(*text);
      if (d.paths.size() <= info.most_paths) return;
      sema_.report(DiagnosticKind::TooManyArguments, a.span, d.reader, d.paths.size(), info.most_paths);
      sema_.abort();
    }
    if (std::find(info.options.begin(), info.options.end(), a.name->name.str()) == info.options.end()) {
      Diagnostic& problem = sema_.report(DiagnosticKind::UnknownArgument, a.name->span, d.reader, a.name->name);
      if (auto near = nearest(a.name->name.str(), info.options)) problem.note(fmt::format("did you mean '{}'?", *near));
      sema_.abort();
    }
    if (a.name->name == Symbol("window")) {
      int64_t window = sema_.integer_of(v, a.value->span, "a window");
      if (window < 1) {
        sema_.report(DiagnosticKind::NotPositive, a.value->span, "a window", window);
        sema_.abort();
      }
      d.numbers[a.name->name] = static_cast<double>(window);
    } else if (text) d.texts[a.name->name] = *text;
    else d.numbers[a.name->name] = sema_.number_of(v, a.value->span, "an option of the reader");
  }

  void bindings(const ast::DataReader& r) {
    std::map<Symbol, SourceSpan> bound;
    std::vector<std::string> inputs;
    for (const ast::Parameter& p : model_.inputs) inputs.push_back(p.name.name.str());
    for (const ast::DataBinding& b : r.bindings) {
      if (std::find(inputs.begin(), inputs.end(), b.name.name.str()) == inputs.end()) {
        Diagnostic& d = sema_.report(DiagnosticKind::UnknownInput, b.name.span, b.name.name, model_.name.name);
        if (auto near = nearest(b.name.name.str(), inputs)) d.note(fmt::format("did you mean '{}'?", *near));
        else d.note(model_.name.span, fmt::format("its inputs are {}", fmt::join(inputs, ", ")));
      } else if (auto [it, fresh] = bound.try_emplace(b.name.name, b.name.span); !fresh) {
        sema_.report(DiagnosticKind::DuplicateKey, b.name.span, b.name.name).note(it->second, "first given here");
      }
    }
    for (const ast::Parameter& p : model_.inputs) {
      if (bound.count(p.name.name)) continue;
      sema_.report(DiagnosticKind::InputWithoutData, r.reader.span, p.name.name).note(p.span, fmt::format("'{}' is declared here", p.name.name));
    }
  }

  void objectives() {
    if (train_.minimize.empty()) {
      out_.objectives.push_back({"loss", model_.name.span, {}, optimizer_, 1});
    }
    for (const ast::Minimize& m : train_.minimize) {
      Objective o{m.loss.name, m.loss.span, {}, m.optimizer ? m.optimizer.get() : optimizer_, 1};
      if (m.over) o.over = patterns(*m.over);
      if (m.every) o.every = positive(*m.every, "'every'");
      out_.objectives.push_back(std::move(o));
    }
    for (Objective& o : out_.objectives) {
      o.frozen = frozen_;
      o.frozen_at = frozen_at_;
      out_.spec.losses.push_back(o.loss);
    }
  }

  const ast::Train& train_;
  const ast::Model& model_;
  const std::map<std::string, const ast::Expr*>& overrides_;
  Elaborator& sema_;
  Training out_;
  const ast::Expr* optimizer_ = nullptr;
  std::vector<std::string> frozen_;
  SourceSpan frozen_at_;
  std::map<std::string, SourceSpan> seen_;
};

}  // namespace

std::vector<std::string> train_keys() { return {"data", "test", "batch", "epochs", "steps", "every", "optimizer", "freeze", "remainder", "seed"}; }

Training read_train(const ast::Train& train, const ast::Model& model, const std::map<std::string, const ast::Expr*>& overrides,
                    Elaborator& sema) {
  return TrainReader(train, model, overrides, sema).read();
}

}  // namespace gradc::sema
