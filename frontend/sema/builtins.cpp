#include "frontend/sema/builtins.h"

#include <algorithm>

#include "compiler/support/text.h"

namespace gradc::sema {
namespace {

struct Formal {
  std::string name;
  bool optional = false, rest = false;
};

std::vector<Formal> parse_signature(std::string_view text) {
  std::vector<Formal> out;
  while (!text.empty()) {
    size_t comma = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, comma);
    text.remove_prefix(std::min(text.size(), comma + 1));
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    Formal f;
    f.rest = part.ends_with("...");
    f.optional = part.ends_with("?");
    f.name = std::string(part.substr(0, part.size() - (f.rest ? 3 : f.optional ? 1 : 0)));
    out.push_back(f);
  }
  return out;
}

const std::map<Symbol, const Builtin*>& table() {
  static const std::map<Symbol, const Builtin*> all = [] {
    std::map<Symbol, const Builtin*> t;
    for (auto* group : {&math_builtins(), &reduction_builtins(), &shape_builtins(), &window_builtins(), &order_builtins(), &model_builtins(), &data_builtins()}) {
      for (const Builtin& b : *group) t[b.name] = &b;
    }
    return t;
  }();
  return all;
}

}  // namespace

double BuiltinCall::number(size_t i, double otherwise) const {
  return has(i) ? sema.number_of(value(i), at(i), "a number") : otherwise;
}

bool BuiltinCall::flag(size_t i) const { return has(i) && sema.bool_of(value(i), at(i), "an option"); }

GivenValues values_of(const BuiltinCall& c) {
  GivenValues out;
  for (const Arg& a : c.rest) {
    bool nested = a.value.list() && c.rest.size() == 1;
    for (const Value& v : nested ? a.value.list()->items : std::vector<Value>{a.value}) out.values.push_back(v), out.spans.push_back(a.span);
  }
  if (!out.values.empty()) return out;
  c.sema.report(DiagnosticKind::WrongType, c.rest[0].span, c.sema.quote(c.rest[0].span), "at least one tensor", "an empty list");
  c.sema.abort();
}

const Builtin* find_builtin(Symbol name) {
  auto it = table().find(name);
  return it == table().end() ? nullptr : it->second;
}

std::vector<std::string> builtin_names() {
  std::vector<std::string> names;
  for (const auto& [name, _] : table()) names.push_back(name.str());
  return names;
}

BuiltinCall match_builtin(Elaborator& sema, const Builtin& b, std::vector<Arg> args, SourceSpan at) {
  std::vector<Formal> formals = parse_signature(b.signature);
  auto signature = [&](Diagnostic& d) { d.note(fmt::format("it is {}({})", b.name, b.signature)); };
  BuiltinCall call{sema, b, at, std::vector<std::optional<Arg>>(formals.size()), {}};
  size_t next = 0;
  for (Arg& a : args) {
    size_t to = next;
    if (a.name) {
      auto it = std::find_if(formals.begin(), formals.end(), [&](const Formal& f) { return !f.rest && f.name == a.name.str(); });
      if (it == formals.end()) {
        Diagnostic& d = sema.report(DiagnosticKind::UnknownArgument, a.named_at(), b.name, a.name);
        signature(d);
        std::vector<std::string> names;
        for (const Formal& f : formals) names.push_back(f.name);
        if (auto near = nearest(a.name.str(), names)) d.note(fmt::format("did you mean '{}'?", *near));
        sema.abort();
      }
      to = static_cast<size_t>(it - formals.begin());
    } else if (next < formals.size() && formals[next].rest) {
      call.rest.push_back(std::move(a));
      continue;
    } else if (next == formals.size()) {
      signature(sema.report(DiagnosticKind::TooManyArguments, a.span, b.name, args.size(), formals.size()));
      sema.abort();
    } else {
      ++next;
    }
    if (call.args[to]) {
      sema.report(DiagnosticKind::ArgumentTwice, a.span, a.name ? a.name : Symbol(formals[to].name), b.name).note(call.args[to]->span, "first here");
      sema.abort();
    }
    call.args[to] = std::move(a);
  }
  for (size_t i = 0; i < formals.size(); ++i) {
    bool missing = formals[i].rest ? call.rest.empty() : !formals[i].optional && !call.args[i];
    if (!missing) continue;
    signature(sema.report(DiagnosticKind::MissingArgument, at, b.name, formals[i].name));
    sema.abort();
  }
  return call;
}

}  // namespace gradc::sema
