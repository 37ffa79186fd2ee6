// New text from a model of bytes: the next byte is drawn from what the model says of the last window, again and again.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "compiler/support/text.h"
#include "frontend/cli/steps.h"
#include "runtime/checkpoint.h"
#include "runtime/sample.h"

namespace gradc::cli {
namespace {

class Generator {
 public:
  explicit Generator(const GenerateVerb& verb) : verb_(verb), session_(verb.model) {}

  int run() {
    find_window();
    build();
    load_checkpoint(verb_.checkpoint, session_.variables(), session_.diagnostics, own_variables(step_.meaning, true));
    session_.stop_on_errors();
    std::string text = prompt();
    const size_t given = text.size();
    if (!verb_.model.json) write(text);
    const uint64_t seed = session_.seed;
    for (int64_t i = 0; i < verb_.length; ++i) {
      text += static_cast<char>(sample(logits_after(text), verb_.temperature, verb_.top_k, sample_uniform(seed, static_cast<uint64_t>(i))));
      if (!verb_.model.json) write(text.substr(text.size() - 1));
    }
    if (!verb_.model.json) write("\n");
    else report(text.substr(0, given), text.substr(given));
    return success;
  }

 private:
  [[noreturn]] void fail(SourceSpan at, const std::string& why) {
    session_.diagnostics.report(DiagnosticKind::NotATextModel, at, why).note("generate works for a model whose train block reads text(...) and gives 'bytes' to an input");
    throw Stop{user_error};
  }

  // The input that sees the text as it is, and how much of it.
  void find_window() {
    const auto& train = session_.program->train();
    if (!train || !train->data) {
      session_.diagnostics.report_at(DiagnosticKind::NotATextModel, verb_.model.file, "has no data in a train block");
      throw Stop{user_error};
    }
    const DataSpec& data = *train->data;
    if (data.reader != Symbol("text")) fail(data.span, fmt::format("reads '{}'", data.reader));
    window_ = static_cast<int64_t>(data.numbers.at("window"));
    for (const ast::DataBinding& b : data.syntax->bindings) {
      auto* name = ast::strip(*b.value).as<ast::Name>();
      if (name && name->name == Symbol("bytes")) token_ = b.name.name.str();
    }
    if (token_.empty()) fail(data.span, "has no input that is given 'bytes' as they are");
  }

  void build() {
    ElaborateRequest request = session_.request(false, false);
    request.outputs = {verb_.logits};
    request.default_dim = 1;
    step_ = session_.build(session_.elaborate(request));
    session_.initialize(step_.meaning);
    const StepBuffer& out = step_.runner->buffer(verb_.logits);
    const SourceSpan at = session_.program->train()->data->span;
    for (const InputInfo& i : step_.meaning.inputs) {
      if (i.name.str() != token_ && step_.runner->has(i.name.str())) fail(at, fmt::format("needs the input '{}' for '{}'", i.name, verb_.logits));
    }
    const std::vector<int64_t>& s = out.shape;
    everywhere_ = s.size() == 3;
    const bool fits = is_float(out.element) && s.size() >= 2 && s.size() <= 3 && s[0] == 1 && (!everywhere_ || s[1] == window_) && s.back() >= 1 && s.back() <= 256;
    if (!fits) fail(at, fmt::format("has '{}' of shape {}, and one row of up to 256 numbers for each byte, or for the last one, is needed", verb_.logits, shape_text(s)));
    if (!step_.runner->has(token_)) fail(at, fmt::format("computes '{}' without '{}'", verb_.logits, token_));
    if (auto limit = limit_of(token_)) symbols_ = *limit;
  }

  std::optional<int64_t> limit_of(const std::string& name) const {
    for (const InputInfo& i : step_.meaning.inputs) {
      if (i.name.str() == name) return i.index_limit;
    }
    return std::nullopt;
  }

  // A model of a full window only sees text that fills it: what is missing in front is spaces.
  std::string prompt() {
    std::string text = verb_.prompt.empty() ? "\n" : verb_.prompt;
    for (char c : text) {
      if (static_cast<unsigned char>(c) < symbols_) continue;
      session_.diagnostics.report_at(DiagnosticKind::IndexOutOfRange, "--prompt", "a byte", static_cast<unsigned char>(c), symbols_ - 1);
      throw Stop{user_error};
    }
    return text;
  }

  std::vector<double> logits_after(const std::string& text) {
    const auto length = static_cast<int64_t>(text.size());
    const int64_t seen = std::min(length, window_);
    Array tokens = Array::zeros(Element::Int, {1, window_});
    const int64_t first = everywhere_ ? 0 : window_ - seen;
    if (!everywhere_) std::fill_n(tokens.as<int64_t>(), first, std::min<int64_t>(' ', symbols_ - 1));
    for (int64_t i = 0; i < seen; ++i) tokens.as<int64_t>()[first + i] = static_cast<unsigned char>(text[static_cast<size_t>(length - seen + i)]);
    step_.runner->set(token_, tokens);
    step_.runner->run(1, session_.seed);
    Array out = step_.runner->get(verb_.logits);
    const int64_t width = out.shape.back(), begin = everywhere_ ? (seen - 1) * width : 0;
    std::vector<double> logits;
    for (int64_t k = 0; k < width; ++k) {
      logits.push_back(out.at(begin + k));
      if (std::isfinite(logits.back()) || logits.back() == -INFINITY) continue;
      session_.diagnostics.report_at(DiagnosticKind::LogitsNotFinite, verb_.checkpoint, verb_.logits, length);
      throw Stop{user_error};
    }
    return logits;
  }

  static void write(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  // JSON holds no broken UTF-8: what is cut or wrong becomes U+FFFD, as readers of text do.
  void report(const std::string& given, const std::string& made) {
    nlohmann::ordered_json out = {{"prompt", given}, {"text", made}, {"seed", session_.seed}};
    fmt::print("{}\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }

  const GenerateVerb& verb_;
  Session session_;
  std::string token_;
  int64_t window_ = 0, symbols_ = 256;
  bool everywhere_ = true;  // logits for every byte of the window, not only for what follows it
  Step step_;
};

}  // namespace

int generate(const GenerateVerb& verb) { return Generator(verb).run(); }

}  // namespace gradc::cli
