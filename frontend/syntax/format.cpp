#include "frontend/syntax/format.h"

#include <algorithm>

#include "frontend/syntax/alignment.h"
#include "frontend/syntax/children.h"
#include "frontend/syntax/inline_text.h"

namespace gradc::ast {
namespace {

constexpr size_t line_limit = 120, step = 4;
constexpr size_t reserve = 4;       // for what may follow a part of a broken expression: " and", "),"
constexpr size_t align_limit = 16;  // spaces put in before '=' at most

bool contains_block(const Expr& e) {
  bool found = e.as<If>() || e.as<Scan>();
  for_each_child(e, [&](const Expr& child) { found = found || contains_block(child); });
  return found;
}

bool contains_block(const Stmt& s) {
  return std::visit(Overloaded{
                        [](const If&) { return true; },
                        [](const For&) { return true; },
                        [](const Fn& x) {
                          return std::holds_alternative<Block>(x.body) || contains_block(*std::get<ExprPtr>(x.body));
                        },
                        [](const Assert& x) { return contains_block(*x.condition); },
                        [](const Param& x) { return contains_block(*x.initial); },
                        [](const State& x) { return contains_block(*x.initial); },
                        [](const auto& x) { return x.value && contains_block(*x.value); },
                    },
                    s.node);
}

// Lays out a tree by one rule: what fits on its line is written on it, else its outermost part is broken. A block stays
// on one line only if it was written so. Comments are taken from the file's list as the source position passes them.
class Formatter {
 public:
  Formatter(const File& file, const SourceManager& sources)
      : file_(file), source_(sources.file(file.id).text), text_(&sources) {}

  std::string run() {
    auto pads = [](size_t) { return size_t{0}; };
    lines(file_.items, static_cast<uint32_t>(source_.size()), pads, [&](const Item& i, size_t) { item(i); });
    if (!out_.empty()) out_ += '\n';
    return std::move(out_);
  }

 private:
  // -- output --

  void write(std::string_view s) { out_ += s; }
  size_t column() const {
    size_t newline = out_.rfind('\n');
    return out_.size() - (newline == std::string::npos ? 0 : newline + 1);
  }
  void new_line(size_t indent) {
    if (!out_.empty()) out_ += '\n';
    out_ += std::string(indent, ' ');
  }
  bool fits(const std::string& flat, size_t kept_free) const {
    return column() + flat.size() + kept_free <= line_limit;
  }

  // -- source --

  size_t newlines(uint32_t from, uint32_t to) const {
    if (from >= to) return 0;
    return static_cast<size_t>(std::count(source_.begin() + from, source_.begin() + to, '\n'));
  }
  bool one_line(SourceSpan s) const { return newlines(s.begin, s.end) == 0; }
  bool has_comment(SourceSpan s) const { return has_comment(s.begin, s.end); }
  bool has_comment(uint32_t begin, uint32_t end) const {
    auto c = std::lower_bound(file_.comments.begin(), file_.comments.end(), begin,
                              [](const Comment& x, uint32_t at) { return x.span.begin < at; });
    return c != file_.comments.end() && c->span.begin < end;
  }
  bool stays_flat(SourceSpan span, bool has_block, const std::string& flat, size_t kept_free) const {
    return !has_comment(span) && (!has_block || one_line(span)) && fits(flat, kept_free);
  }

  // -- comments and empty lines --

  // Comments that stand before a source position; one on the line of the last thing written goes behind it.
  void comments_before(uint32_t position) {
    for (; next_ < file_.comments.size() && file_.comments[next_].span.begin < position; ++next_) {
      SourceSpan s = file_.comments[next_].span;
      bool behind = !out_.empty() && s.begin >= last_ && newlines(last_, s.begin) == 0;
      if (behind) {
        write("  ");
      } else {
        gap(s.begin);
        new_line(indent_);
      }
      write(source_.substr(s.begin, s.end - s.begin));
      last_ = s.end;
      first_ = false;
    }
  }

  // An empty line where the source has one.
  void gap(uint32_t position) {
    if (!first_ && newlines(last_, position) > 1) out_ += '\n';
  }

  // The nodes of a file or a block, a line each; `end` is where the block ends.
  template <class Node, class Pad, class Emit>
  void lines(const std::vector<Node>& nodes, uint32_t end, Pad&& pad, Emit&& emit) {
    first_ = true;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const SourceSpan span = nodes[i].span;
      comments_before(span.begin);
      gap(span.begin);
      new_line(indent_);
      emit(nodes[i], pad(i));
      last_ = std::max(last_, span.end);
      first_ = false;
    }
    comments_before(end);
  }

  // Opens a block behind what is written, on lines of its own.
  template <class Body>
  void braces(SourceSpan span, Body&& body) {
    write(" {");
    last_ = span.begin + 1;
    indent_ += step;
    body();
    indent_ -= step;
    new_line(indent_);
    write("}");
    last_ = span.end;
    first_ = false;
  }

  // A node with comments in it and no block keeps its own layout; only its indentation changes.
  void verbatim(SourceSpan span) {
    size_t line = source_.rfind('\n', span.begin) == std::string::npos ? 0 : source_.rfind('\n', span.begin) + 1;
    long shift = static_cast<long>(indent_) - static_cast<long>(blanks(line).width);
    std::string_view text = std::string_view(source_).substr(0, span.end);
    for (size_t at = span.begin; at < span.end;) {
      size_t end = std::min(text.find('\n', at), text.size());
      if (at != span.begin) {
        auto [width, from] = blanks(at);
        at = std::min(from, end);
        new_line(at == end ? 0 : static_cast<size_t>(std::max(0L, static_cast<long>(width) + shift)));
      }
      size_t kept = text.substr(at, end - at).find_last_not_of(" \t\r");
      if (kept != std::string_view::npos) write(text.substr(at, kept + 1));
      at = end + 1;
    }
    while (next_ < file_.comments.size() && file_.comments[next_].span.begin < span.end) ++next_;
  }

  struct Blanks {
    size_t width, end;
  };
  Blanks blanks(size_t at) const {
    size_t width = 0;
    for (; at < source_.size() && (source_[at] == ' ' || source_[at] == '\t'); ++at)
      width += source_[at] == '\t' ? step : 1;
    return {width, at};
  }

  // -- alignment --

  // Spaces before each '=', from the texts to the left of it (empty: none); a run ends at an empty line, a comment line
  // and where the kind changes.
  template <class Node, class Left, class Kind>
  std::vector<size_t> alignment(const std::vector<Node>& nodes, Left&& left, Kind&& kind) const {
    std::vector<size_t> widths, pads;
    for (const Node& n : nodes) widths.push_back(left(n).size());
    for (size_t begin = 0, end = 0; begin < nodes.size(); begin = end) {
      size_t widest = widths[begin];
      for (end = begin + 1; end < nodes.size() && neighbours(nodes[end - 1].span, nodes[end].span) &&
                            kind(nodes[end]) == kind(nodes[begin]) && widths[begin] > 0 && widths[end] > 0;
           ++end) {
        widest = std::max(widest, widths[end]);
      }
      for (size_t i = begin; i < end; ++i) pads.push_back(widest - widths[i] > align_limit ? 0 : widest - widths[i]);
    }
    return pads;
  }

  bool neighbours(SourceSpan a, SourceSpan b) const {
    if (newlines(a.end, b.begin) > 1 || has_comment(a)) return false;
    size_t line_end = std::min(source_.find('\n', a.end), source_.size());
    return line_end >= b.begin || !has_comment(static_cast<uint32_t>(line_end), b.begin);
  }

  std::vector<size_t> alignment(const std::vector<Stmt>& statements) const {
    auto left = [&](const Stmt& s) {
      const Dim* dim = s.as<Dim>();
      const Bind* bind = s.as<Bind>();
      bool apart = s.as<Fn>() || (dim && !dim->value) || (bind && bind->targets.size() > 1);
      return apart ? std::string() : text_.left_side(s);
    };
    auto kind = [](const Stmt& s) { return s.as<IndexBind>() ? 0 : s.node.index(); };
    return alignment(statements, left, kind);
  }

  // -- declarations --

  void item(const Item& i) {
    std::visit(Overloaded{
                   [&](const Use& x) { write("use " + x.module.name.str()); },
                   [&](const Dim& x) { dim(x, i.span); },
                   [&](const Fn& x) { fn(x, i.span); },
                   [&](const Layer& x) {
                     write("layer " + x.name.name.str());
                     parameters(x.configuration), parameters(x.tensors);
                     write(text_.results(x.results)), block(x.body);
                   },
                   [&](const Model& x) {
                     write("model " + x.name.name.str());
                     parameters(x.inputs), block(x.body);
                   },
                   [&](const Optimizer& x) {
                     write("optimizer " + x.name.name.str());
                     parameters(x.configuration), parameters(x.arguments), block(x.body);
                   },
                   [&](const Train& x) { train(x); },
                   [&](const Derivative& x) {
                     std::string inputs = joined(x.inputs, [](const Ident& n) { return n.name.str(); });
                     function(fmt::format("derivative {}({}; {}, {})", x.function.name, inputs, x.value.name,
                                          x.cotangent.name),
                              x.body, i.span);
                   },
               },
               i.node);
  }

  void dim(const Dim& x, SourceSpan span) {
    if (x.value) return binding("dim " + x.name.name.str(), 0, *x.value, span);
    write("dim " + x.name.name.str());
  }

  void parameters(const std::vector<Parameter>& list) {
    std::string flat = joined(list, [&](const Parameter& p) { return text_.parameter(p); });
    if (fits(flat, 2 + reserve)) return write("(" + flat + ")");
    bracketed('(', list, ')', [&](const Parameter& p) { write(text_.parameter(p)); });
  }

  void fn(const Fn& x, SourceSpan span) {
    const Block* b = std::get_if<Block>(&x.body);
    if (b) {
      write("fn " + x.name.name.str());
      parameters(x.parameters);
      write(text_.results(x.results));
      return block(*b);
    }
    function(text_.fn_head(x), x.body, span);
  }

  void function(const std::string& head, const Body& body, SourceSpan span) {
    if (const auto* e = std::get_if<ExprPtr>(&body)) return binding(head, 0, **e, span);
    write(head);
    block(std::get<Block>(body));
  }

  // Entries and `minimize` in the order in which they were written.
  void train(const Train& x) {
    struct Line {
      SourceSpan span;
      const TrainEntry* entry;
      const Minimize* minimize;
    };
    std::vector<Line> all;
    for (const TrainEntry& e : x.entries) all.push_back({e.span, &e, nullptr});
    for (const Minimize& m : x.minimize) all.push_back({m.span, nullptr, &m});
    std::sort(all.begin(), all.end(), [](const Line& a, const Line& b) { return a.span.begin < b.span.begin; });
    auto left = [](const Line& l) { return l.entry ? l.entry->key.name.str() : std::string(); };
    auto pads = alignment(all, left, [](const Line&) { return 0; });
    write("train " + x.model.name.str());
    braces(x.block, [&] {
      lines(
          all, x.block.end, [&](size_t i) { return pads[i]; },
          [&](const Line& l, size_t pad) {
            if (l.minimize) return minimize(*l.minimize);
            const TrainEntry& e = *l.entry;
            if (e.value) return binding(e.key.name.str(), pad, *e.value, e.span);
            reader(e.key.name.str() + std::string(pad, ' '), *e.reader, e.span);
          });
    });
  }

  void minimize(const Minimize& m) {
    if (has_comment(m.span)) return verbatim(m.span);
    write(text_.minimize(m));
  }

  void reader(const std::string& left, const DataReader& r, SourceSpan span) {
    std::string flat = left + " = " + text_.reader(r);
    bool has_block = static_cast<bool>(r.block);
    if (stays_flat(span, has_block, flat, 0)) return write(flat);
    if (!has_block && has_comment(span)) return verbatim(span);
    write(left + " = ");
    std::string head = text_.reader_head(r);
    if (fits(head, reserve) || r.arguments.empty()) {
      write(head);
    } else {
      write(r.reader.name.str());
      bracketed('(', r.arguments, ')', [&](const Argument& a) { argument(a); });
    }
    if (!has_block) return;
    auto pads = alignment(
        r.bindings, [](const DataBinding& b) { return b.name.name.str(); }, [](const DataBinding&) { return 0; });
    braces(r.block, [&] {
      lines(
          r.bindings, r.block.end, [&](size_t i) { return pads[i]; },
          [&](const DataBinding& b, size_t pad) { binding(b.name.name.str(), pad, *b.value, b.span); });
    });
  }

  // -- statements --

  void block(const Block& b) {
    auto pads = alignment(b.statements);
    braces(b.span, [&] {
      lines(
          b.statements, b.span.end, [&](size_t i) { return pads[i]; },
          [&](const Stmt& s, size_t pad) { statement(s, pad); });
    });
  }

  void statement(const Stmt& s, size_t pad) {
    bool has_block = contains_block(s);
    if (has_comment(s.span) && !has_block) return verbatim(s.span);
    std::string flat = text_.statement(s);
    if (pad == 0 && stays_flat(s.span, has_block, flat, 0)) return write(flat);
    auto bound = [&](const Expr& value) { binding(text_.left_side(s), pad, value, s.span); };
    std::visit(Overloaded{
                   [&](const Dim& x) { dim(x, s.span); },
                   [&](const Param& x) { bound(*x.initial); },
                   [&](const State& x) { bound(*x.initial); },
                   [&](const Fn& x) { fn(x, s.span); },
                   [&](const If& x) { if_chain(x); },
                   [&](const For& x) {
                     write(fmt::format("for {} in ", x.variable.name));
                     expr(*x.range, 2), block(x.body);
                   },
                   [&](const Emit& x) { write("emit "), unwrapped(*x.value); },
                   [&](const Return& x) { write("return "), unwrapped(*x.value); },
                   [&](const Assert& x) {
                     write("assert ");
                     expr(*x.condition, 0);
                     if (x.message) write(", " + quoted(x.message->name.str()));
                   },
                   [&](const ExprStmt& x) { expr(*x.value, 0); },
                   [&](const auto& x) { bound(*x.value); },
               },
               s.node);
  }

  // left = value
  void binding(const std::string& left, size_t pad, const Expr& value, SourceSpan span) {
    if (has_comment(span) && !contains_block(value)) return verbatim(span);
    write(left + std::string(pad, ' ') + " = ");
    expr(value, 0);
  }

  void unwrapped(const Expr& e) {
    const auto* t = e.as<Tuple>();
    if (!t || t->elements.size() < 2) return expr(e, 0);
    for (const ExprPtr& x : t->elements) {
      if (&x != t->elements.data()) write(", ");
      expr(*x, reserve);
    }
  }

  // -- expressions --

  template <class T, class Emit>
  void bracketed(char opening, const std::vector<T>& list, char closing, Emit&& emit) {
    out_ += opening;
    indent_ += step;
    for (const T& x : list) {
      new_line(indent_);
      emit(x);
      if (&x != &list.back()) write(",");
    }
    indent_ -= step;
    new_line(indent_);
    out_ += closing;
  }

  void argument(const Argument& a) {
    if (a.name) write(a.name->name.str() + " = ");
    expr(*a.value, reserve);
  }

  // Behind the position written so far; lines that it breaks into are indented by one step more than the statement.
  void expr(const Expr& e, size_t kept_free) {
    std::string flat = text_.expr(e);
    if (stays_flat(e.span, contains_block(e), flat, kept_free)) return write(flat);
    auto all = [&](char opening, const std::vector<ExprPtr>& list, char closing) {
      bracketed(opening, list, closing, [&](const ExprPtr& x) { expr(*x, reserve); });
    };
    std::visit(Overloaded{
                   [&](const Unary& x) {
                     write(spelling(x.op)), write(x.op == UnaryOp::Not ? " " : ""), expr(*x.operand, kept_free);
                   },
                   [&](const Binary& x) { binary(x, kept_free); },
                   [&](const Pipe& x) { pipe(x, kept_free); },
                   [&](const Call& x) {
                     expr(*x.callee, reserve);
                     if (x.arguments.empty()) return write("()");
                     bracketed('(', x.arguments, ')', [&](const Argument& a) { argument(a); });
                   },
                   [&](const Index& x) { expr(*x.base, reserve), all('[', x.items, ']'); },
                   [&](const Member& x) { expr(*x.base, reserve), write("." + x.name.name.str()); },
                   [&](const Range& x) {
                     if (x.from) expr(*x.from, reserve);
                     write("..");
                     if (x.to) expr(*x.to, kept_free);
                   },
                   [&](const IndexReduction& x) {
                     write(fmt::format("{}[{}]", x.reducer.name,
                                       joined(x.indices, [](const Ident& i) { return i.name.str(); })));
                     enclosed(*x.body);
                   },
                   [&](const List& x) { x.elements.empty() ? write("[]") : all('[', x.elements, ']'); },
                   [&](const Tuple& x) { x.elements.size() == 1 ? write(flat) : all('(', x.elements, ')'); },
                   [&](const Paren& x) { enclosed(*x.inner); },
                   [&](const AllBut& x) { write("all but "), expr(*x.axes, kept_free); },
                   [&](const If& x) { if_chain(x); },
                   [&](const Scan& x) { write(text_.scan_head(x)), block(x.body); },
                   [&](const auto&) { write(flat); },
               },
               e.node);
  }

  // (e) on lines of its own
  void enclosed(const Expr& e) {
    write("(");
    indent_ += step;
    new_line(indent_);
    expr(e, reserve);
    indent_ -= step;
    new_line(indent_);
    write(")");
  }

  void binary(const Binary& x, size_t kept_free) {
    expr(*x.lhs, reserve);
    write(fmt::format(" {}", spelling(x.op)));
    indent_ += step;
    std::string right = text_.expr(*x.rhs);
    if (fits(right, kept_free + 1)) {
      write(" ");
    } else {
      new_line(indent_);
    }
    expr(*x.rhs, kept_free);
    indent_ -= step;
  }

  // value
  //     |> stage
  void pipe(const Pipe& last, size_t kept_free) {
    std::vector<const Pipe*> chain{&last};
    while (const Pipe* p = chain.back()->value->as<Pipe>()) chain.push_back(p);
    expr(*chain.back()->value, reserve);
    indent_ += step;
    for (auto p = chain.rbegin(); p != chain.rend(); ++p) {
      new_line(indent_);
      write("|> ");
      expr(*(*p)->stage, kept_free);
    }
    indent_ -= step;
  }

  void if_chain(const If& x) {
    for (const IfArm& a : x.arms) {
      write(&a == x.arms.data() ? "if " : " else if ");
      expr(*a.condition, 2);
      block(a.body);
    }
    if (!x.otherwise) return;
    write(" else");
    block(*x.otherwise);
  }

  const File& file_;
  const std::string& source_;
  Inline text_;
  std::string out_;
  size_t indent_ = 0;
  size_t next_ = 0;    // the first comment that isn't written yet
  uint32_t last_ = 0;  // source position behind what was written last
  bool first_ = true;  // nothing written yet in this block
};

}  // namespace

std::string format(const File& file, const SourceManager& sources) {
  return keep_alignment(Formatter(file, sources).run(), sources.file(file.id).text, line_limit);
}

}  // namespace gradc::ast
