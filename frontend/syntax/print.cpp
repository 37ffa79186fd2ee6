#include "frontend/syntax/print.h"

#include "frontend/syntax/inline_text.h"

namespace gradc::ast {
namespace {

class TreePrinter {
 public:
  explicit TreePrinter(const SourceManager& sources) : sources_(sources), text_(&sources) {}

  std::string print(const File& file) {
    line("file " + sources_.file(file.id).name);
    nest([&] {
      for (const Item& i : file.items) item(i);
    });
    return std::move(out_);
  }

 private:
  template <class F>
  void nest(F&& f) {
    ++depth_;
    f();
    --depth_;
  }

  void line(const std::string& text, SourceSpan place = {}) {
    out_ += std::string(2 * depth_, ' ') + text;
    if (place) {
      LineColumn at = sources_.place(place.file, place.begin);
      out_ += fmt::format("  @{}:{}", at.line, at.column);
    }
    out_ += '\n';
  }

  void item(const Item& i) {
    std::visit(
        Overloaded{
            [&](const Use& x) { line(fmt::format("use {}", x.module.name), i.span); },
            [&](const Dim& x) { bound(fmt::format("dim {}", x.name.name), i.span, x.value.get()); },
            [&](const Fn& x) { fn(x, i.span); },
            [&](const Layer& x) {
              line(fmt::format("layer {}{}", x.name.name, text_.results(x.results)), i.span);
              nest([&] { parameters("config", x.configuration), parameters("tensor", x.tensors), block(x.body); });
            },
            [&](const Model& x) {
              line(fmt::format("model {}", x.name.name), i.span);
              nest([&] { parameters("input", x.inputs), block(x.body); });
            },
            [&](const Train& x) { train(x, i.span); },
            [&](const Optimizer& x) {
              line(fmt::format("optimizer {}", x.name.name), i.span);
              nest([&] { parameters("config", x.configuration), parameters("argument", x.arguments), block(x.body); });
            },
            [&](const Derivative& x) {
              line(fmt::format("derivative {}", x.function.name), i.span);
              nest([&] {
                for (const Ident& in : x.inputs) line(fmt::format("input {}", in.name));
                line(fmt::format("value {}", x.value.name));
                line(fmt::format("cotangent {}", x.cotangent.name));
                body(x.body);
              });
            },
        },
        i.node);
  }

  void fn(const Fn& x, SourceSpan span) {
    line(fmt::format("fn {}{}", x.name.name, text_.results(x.results)), span);
    nest([&] { parameters("parameter", x.parameters), body(x.body); });
  }

  void parameters(const char* word, const std::vector<Parameter>& list) {
    for (const Parameter& p : list) {
      line(fmt::format("{} {}{}", word, p.name.name, p.type ? ": " + text_.shape(*p.type) : ""));
      if (p.fallback) nest([&] { expr(*p.fallback); });
    }
  }

  void body(const Body& b) {
    if (const auto* e = std::get_if<ExprPtr>(&b)) {
      expr(**e);
    } else {
      block(std::get<Block>(b));
    }
  }

  void block(const Block& b) {
    for (const Stmt& s : b.statements) statement(s);
  }

  void bound(const std::string& text, SourceSpan span, const Expr* value) {
    line(text, span);
    if (value) nest([&] { expr(*value); });
  }

  void statement(const Stmt& s) {
    std::string left = text_.left_side(s);
    std::visit(Overloaded{
                   [&](const Bind& x) { bound("bind " + left, s.span, x.value.get()); },
                   [&](const IndexBind& x) { bound("bind " + left, s.span, x.value.get()); },
                   [&](const Dim& x) { bound(left, s.span, x.value.get()); },
                   [&](const Param& x) { bound(left, s.span, x.initial.get()); },
                   [&](const State& x) { bound(left, s.span, x.initial.get()); },
                   [&](const Update& x) { bound(left, s.span, x.value.get()); },
                   [&](const Fn& x) { fn(x, s.span); },
                   [&](const If& x) { if_chain(x, s.span); },
                   [&](const For& x) {
                     line(fmt::format("for {}", x.variable.name), s.span);
                     nest([&] { expr(*x.range), line("do"), nest([&] { block(x.body); }); });
                   },
                   [&](const Emit& x) { bound("emit", s.span, x.value.get()); },
                   [&](const Return& x) { bound("return", s.span, x.value.get()); },
                   [&](const Assert& x) {
                     bound(x.message ? "assert " + quoted(x.message->name.str()) : "assert", s.span, x.condition.get());
                   },
                   [&](const ExprStmt& x) { bound("value", s.span, x.value.get()); },
               },
               s.node);
  }

  void if_chain(const If& x, SourceSpan span) {
    for (const IfArm& a : x.arms) {
      line(&a == x.arms.data() ? "if" : "else if", &a == x.arms.data() ? span : SourceSpan{});
      nest([&] { expr(*a.condition), line("then"), nest([&] { block(a.body); }); });
    }
    if (!x.otherwise) return;
    line("else");
    nest([&] { block(*x.otherwise); });
  }

  void scan(const Scan& x) {
    line("scan");
    nest([&] {
      for (const ScanInput& i : x.inputs) bound(fmt::format("item {}", i.item.name), {}, i.sequence.get());
      if (x.axis) bound("along", {}, x.axis.get());
      if (x.reversed) line("reversed");
      if (x.recompute) bound("recompute", x.recompute->span, x.recompute->every.get());
      for (const ScanCarry& c : x.carries) bound(fmt::format("carry {}", c.name.name), {}, c.initial.get());
      line("do");
      nest([&] { block(x.body); });
    });
  }

  void train(const Train& x, SourceSpan span) {
    line(fmt::format("train {}", x.model.name), span);
    nest([&] {
      for (const TrainEntry& e : x.entries) {
        bound(fmt::format("set {}", e.key.name), e.span, e.value.get());
        if (e.reader) nest([&] { reader(*e.reader); });
      }
      for (const Minimize& m : x.minimize) {
        line(fmt::format("minimize {}", m.loss.name), m.span);
        nest([&] { clause("over", m.over.get()), clause("with", m.optimizer.get()), clause("every", m.every.get()); });
      }
    });
  }

  void clause(const char* word, const Expr* value) {
    if (value) bound(word, {}, value);
  }

  void reader(const DataReader& r) {
    line(fmt::format("reader {}", r.reader.name));
    nest([&] {
      for (const Argument& a : r.arguments) argument(a);
      for (const DataBinding& b : r.bindings) bound(fmt::format("bind {}", b.name.name), b.span, b.value.get());
    });
  }

  void argument(const Argument& a) {
    if (!a.name) return expr(*a.value);
    bound(fmt::format("{} =", a.name->name), {}, a.value.get());
  }

  void all(const std::vector<ExprPtr>& list) {
    for (const ExprPtr& e : list) expr(*e);
  }

  void expr(const Expr& e) {
    std::visit(Overloaded{
                   [&](const Number&) { line("number " + text_.expr(e)); },
                   [&](const String&) { line("string " + text_.expr(e)); },
                   [&](const Bool&) { line(text_.expr(e)); },
                   [&](const Name& x) { line("name " + x.name.str()); },
                   [&](const Unary& x) { bound(spelling(x.op), {}, x.operand.get()); },
                   [&](const Binary& x) { line(spelling(x.op)), nest([&] { expr(*x.lhs), expr(*x.rhs); }); },
                   [&](const Pipe& x) { line("|>"), nest([&] { expr(*x.value), expr(*x.stage); }); },
                   [&](const Call& x) {
                     line("call");
                     nest([&] {
                       expr(*x.callee);
                       for (const Argument& a : x.arguments) argument(a);
                     });
                   },
                   [&](const Range& x) {
                     line("range");
                     nest([&] { clause("from", x.from.get()), clause("to", x.to.get()); });
                   },
                   [&](const Index& x) { line("index"), nest([&] { expr(*x.base), all(x.items); }); },
                   [&](const Member& x) { bound(fmt::format("member {}", x.name.name), {}, x.base.get()); },
                   [&](const IndexReduction& x) {
                     std::string indices = joined(x.indices, [](const Ident& i) { return i.name.str(); });
                     bound(fmt::format("reduce {}[{}]", x.reducer.name, indices), {}, x.body.get());
                   },
                   [&](const List& x) { line("list"), nest([&] { all(x.elements); }); },
                   [&](const Tuple& x) { line("tuple"), nest([&] { all(x.elements); }); },
                   [&](const Paren& x) { bound("()", {}, x.inner.get()); },
                   [&](const AllBut& x) { bound("all but", {}, x.axes.get()); },
                   [&](const If& x) { if_chain(x, {}); },
                   [&](const Scan& x) { scan(x); },
               },
               e.node);
  }

  const SourceManager& sources_;
  Inline text_;
  std::string out_;
  size_t depth_ = 0;
};

}  // namespace

std::string print(const File& file, const SourceManager& sources) {
  return TreePrinter(sources).print(file);
}

}  // namespace gradc::ast
