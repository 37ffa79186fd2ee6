#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "compiler/graph/graph.h"
#include "compiler/graph/text_form.h"
#include "compiler/support/text.h"

namespace gradc {
namespace {

using text_form::Scanner;

// Spans are read as lines and columns first: where the text of a file is not at hand, blank text is made that has them
// all.
struct FileText {
  std::string name;
  bool library = false;
  std::vector<size_t> line_lengths;  // at least
};
struct SpanText {
  size_t file = 0;
  size_t line[2] = {}, column[2] = {};
};
struct OriginText {
  std::optional<SpanText> span;
  Symbol callee;
  OriginId caller;
  size_t at_line = 0;
};

class GraphParser {
 public:
  GraphParser(std::string_view text, const OpRegistry& ops, SourceManager& sources)
      : rest_(text), ops_(ops), sources_(sources) {}

  GraphParseResult run() {
    if (!parse_all()) return {std::nullopt, fmt::format("line {}: {}", line_number_, error_)};
    return {std::move(whole_), {}};
  }

 private:
  bool fail(std::string message) {
    error_ = std::move(message);
    return false;
  }
  bool check(Scanner& s) {
    s.expect_end();
    return s.failed() ? fail(s.error()) : true;
  }

  // The next line with something on it.
  std::optional<Scanner> next_line() {
    while (!rest_.empty()) {
      size_t end = std::min(rest_.find('\n'), rest_.size());
      Scanner s(rest_.substr(0, end));
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      ++line_number_;
      if (!s.at_end()) return s;
    }
    return std::nullopt;
  }

  bool parse_all() {
    auto head = next_line();
    if (!head) return fail("expected 'graph NAME {'");
    head->expect("graph");
    whole_.name = head->symbol();
    head->expect("{");
    if (!check(*head)) return false;
    if (!block([&](Scanner& s) { return statement(s); })) return false;
    auto more = next_line();
    if (more) {
      more->expect("provenance");
      more->expect("{");
      if (!check(*more) || !block([&](Scanner& s) { return provenance_line(s); })) return false;
      if (auto extra = next_line()) return fail("nothing follows the provenance");
    }
    return build_origins() && build_sets();
  }

  template <class F>
  bool block(F line) {
    while (auto s = next_line()) {
      if (s->accept("}")) return check(*s);
      if (!line(*s)) return false;
    }
    return fail("the closing '}' is missing");
  }

  bool statement(Scanner& s) {
    if (s.peek("%")) return node(s);
    bool update = s.accept("update");
    if (!update) s.expect("output");
    Symbol name = s.symbol();
    s.expect("=");
    NodeId id = operand(s);
    if (!check(s)) return false;
    graph_->outputs.push_back({name, update ? OutputKind::Update : OutputKind::Value, id});
    return true;
  }

  NodeId operand(Scanner& s) {
    s.expect("%");
    size_t number = s.index();
    auto it = numbers_.find(number);
    if (it != numbers_.end()) return it->second;
    s.fail(fmt::format("%{} is not defined above", number));
    return {};
  }

  const Op* operation(Scanner& s) {
    Symbol name = s.symbol();
    const Op* op = s.failed() ? nullptr : ops_.find(name.str());
    if (!op) {
      std::vector<std::string> names;
      for (const Op* o : ops_.all()) names.push_back(o->name);
      auto close = nearest(name.str(), names);
      s.fail(fmt::format("unknown operation '{}'{}", name, close ? fmt::format(", did you mean '{}'?", *close) : ""));
    }
    return op;
  }

  // A scan's body, up to its closing brace. It has numbers of its own.
  std::shared_ptr<const Graph> body() {
    constexpr size_t deepest = 64;
    if (depth_ == deepest) {
      fail(fmt::format("scans are nested more than {} deep", deepest));
      return nullptr;
    }
    auto inner = std::make_shared<Graph>();
    Graph* outer = std::exchange(graph_, inner.get());
    auto numbers = std::exchange(numbers_, {});
    ++depth_;
    bool ok = block([&](Scanner& s) { return statement(s); });
    --depth_;
    numbers_ = std::move(numbers);
    graph_ = outer;
    bodies_.push_back(inner);
    return ok ? inner : nullptr;
  }

  bool node(Scanner& s) {
    Node n;
    s.expect("%");
    size_t number = s.index();
    if (s.next_is_symbol()) n.name = s.symbol();
    s.expect(":");
    n.type = s.type();
    s.expect("=");
    n.op = operation(s);
    if (s.peek("%")) {
      do n.operands.push_back(operand(s));
      while (s.accept(","));
    }
    n.attrs = s.attributes();
    std::optional<size_t> set;
    if (s.accept("@")) set = s.index();
    bool has_body = s.accept("{");
    if (!check(s) || (has_body && !(n.body = body()))) return false;
    if (numbers_.count(number)) return fail(fmt::format("%{} is defined twice", number));
    if (!check_type(n, number)) return false;
    NodeId id = graph_->add(std::move(n));
    numbers_[number] = id;
    if (set) set_uses_.push_back({graph_, id, *set, line_number_});
    return true;
  }

  // The written type must be the inferred one; the names of its axes are the writer's.
  bool check_type(const Node& n, size_t number) {
    std::vector<Type> types;
    for (NodeId id : n.operands) types.push_back((*graph_)[id].type);
    TypeResult inferred = n.op->infer(types, n.attrs, graph_->scope(n.operands, n.body.get()));
    if (!inferred.type) return fail(fmt::format("{}: {}", n.op->name, inferred.error));
    if (*inferred.type == n.type) return true;
    return fail(fmt::format("%{} is {}, not {}", number, to_string(*inferred.type), to_string(n.type)));
  }

  bool provenance_line(Scanner& s) {
    if (s.accept("file")) return file_line(s);
    if (s.accept("origin")) return origin_line(s);
    s.expect("set");
    return set_line(s);
  }

  // Entries are numbered from 0 in order.
  void entry_number(Scanner& s, size_t expected) {
    size_t number = s.index();
    if (number != expected) s.fail(fmt::format("expected number {}, not {}", expected, number));
    s.expect("=");
  }

  bool file_line(Scanner& s) {
    entry_number(s, files_.size());
    FileText f{s.symbol().str(), false, {}};
    f.library = s.accept("library");
    files_.push_back(std::move(f));
    return check(s);
  }

  bool origin_line(Scanner& s) {
    OriginText o;
    o.at_line = line_number_;
    entry_number(s, origins_.size());
    if (s.accept("file")) {
      SpanText span;
      span.file = s.index();
      place(s, span, 0);
      s.expect("to");
      place(s, span, 1);
      if (!s.failed() && span.file >= files_.size()) s.fail(fmt::format("there is no file {}", span.file));
      if (!s.failed()) note_lines(span);
      o.span = span;
    }
    if (s.accept("in")) o.callee = s.symbol();
    if (s.accept("from")) {
      size_t caller = s.index();
      if (caller >= origins_.size()) s.fail(fmt::format("origin {} is not defined above", caller));
      o.caller = OriginId(caller);
    }
    origins_.push_back(std::move(o));
    return check(s);
  }

  static void place(Scanner& s, SpanText& span, int end) {
    constexpr size_t most_lines = 1'000'000, most_columns = 10'000;
    span.line[end] = s.index();
    s.expect(":");
    span.column[end] = s.index();
    bool fits = span.line[end] >= 1 && span.line[end] <= most_lines && span.column[end] >= 1 &&
                span.column[end] <= most_columns;
    bool forward = end == 0 || std::pair(span.line[0], span.column[0]) <= std::pair(span.line[1], span.column[1]);
    if (!s.failed() && (!fits || !forward)) s.fail("the place is out of range");
  }

  void note_lines(const SpanText& span) {
    std::vector<size_t>& lengths = files_[span.file].line_lengths;
    for (int end : {0, 1}) {
      lengths.resize(std::max(lengths.size(), span.line[end]));
      size_t& length = lengths[span.line[end] - 1];
      length = std::max(length, span.column[end] - 1);
    }
  }

  bool set_line(Scanner& s) {
    Provenance p;
    entry_number(s, sets_.size());
    while (!s.failed() && !s.at_end()) {
      if (s.accept("origin")) {
        size_t origin = s.index();
        if (origin >= origins_.size()) s.fail(fmt::format("there is no origin {}", origin));
        p.origins.push_back(OriginId(origin));
      } else if (s.accept("derived")) {
        Symbol primal = s.symbol();
        s.expect("by");
        p.derivations.push_back({primal, s.symbol()});
      } else {
        s.expect("rewritten");
        p.rewrites.push_back(s.symbol());
      }
    }
    sets_.push_back(std::move(p));
    return check(s);
  }

  FileId file_of(const FileText& f) {
    if (auto known = sources_.find(f.name)) return *known;
    std::string blank;
    for (size_t length : f.line_lengths) blank += std::string(length, ' ') + "\n";
    return sources_.add(f.name, std::move(blank), f.library);
  }

  std::optional<uint32_t> offset(FileId file, size_t line, size_t column) const {
    const SourceFile& f = sources_.file(file);
    if (line > f.line_starts.size()) return std::nullopt;
    size_t at = f.line_starts[line - 1] + column - 1;
    size_t end = line < f.line_starts.size() ? f.line_starts[line] - 1 : f.text.size();
    return at <= end ? std::optional(static_cast<uint32_t>(at)) : std::nullopt;
  }

  bool build_origins() {
    std::vector<FileId> files;
    for (const FileText& f : files_) files.push_back(file_of(f));
    for (size_t i = 0; i < origins_.size(); ++i) {
      const OriginText& o = origins_[i];
      Origin origin{.span = {}, .caller = o.caller, .callee = o.callee};
      line_number_ = o.at_line;
      if (o.span) {
        FileId file = files[o.span->file];
        auto begin = offset(file, o.span->line[0], o.span->column[0]),
             end = offset(file, o.span->line[1], o.span->column[1]);
        if (!begin || !end) return fail(fmt::format("'{}' has no such place", files_[o.span->file].name));
        origin.span = {file, *begin, *end};
      }
      if (whole_.provenance.add(origin) != OriginId(i)) return fail(fmt::format("origin {} repeats an earlier one", i));
    }
    return true;
  }

  bool build_sets() {
    std::vector<ProvenanceId> ids;
    for (Provenance& p : sets_) ids.push_back(whole_.provenance.add(std::move(p)));
    for (const SetUse& use : set_uses_) {
      line_number_ = use.at_line;
      if (use.set >= ids.size()) return fail(fmt::format("there is no provenance set {}", use.set));
      use.graph->edit(use.node).provenance = ids[use.set];
    }
    return true;
  }

  struct SetUse {
    Graph* graph;
    NodeId node;
    size_t set;
    size_t at_line;
  };

  std::string_view rest_;
  const OpRegistry& ops_;
  SourceManager& sources_;
  size_t line_number_ = 0;
  std::string error_;
  Graph whole_;
  Graph* graph_ = &whole_;  // the one whose lines are read: a body is a graph of its own
  size_t depth_ = 0;
  std::vector<std::shared_ptr<Graph>> bodies_;
  std::unordered_map<size_t, NodeId> numbers_;
  std::vector<FileText> files_;
  std::vector<OriginText> origins_;
  std::vector<Provenance> sets_;
  std::vector<SetUse> set_uses_;
};

}  // namespace

GraphParseResult parse_graph(std::string_view text, const OpRegistry& ops, SourceManager& sources) {
  return GraphParser(text, ops, sources).run();
}

}  // namespace gradc
