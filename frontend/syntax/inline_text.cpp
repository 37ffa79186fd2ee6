#include "frontend/syntax/inline_text.h"
#include "compiler/support/text.h"
#include "frontend/syntax/print.h"

namespace gradc::ast {
namespace {

std::string number_text(const Number& n) {
  return n.integer ? std::to_string(*n.integer) : shortest(n.value);
}

}  // namespace

std::string quoted(std::string_view value) {
  std::string out = "\"";
  for (char c : value) {
    switch (c) {
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      default: out += c;
    }
  }
  return out + '"';
}

std::string Inline::list(const std::vector<ExprPtr>& elements) const {
  return joined(elements, [&](const ExprPtr& e) { return expr(*e); });
}

std::string Inline::number(const Expr& e, const Number& n) const {
  return sources_ && e.span ? std::string(sources_->text(e.span)) : number_text(n);
}

std::string Inline::argument(const Argument& a) const {
  return a.name ? fmt::format("{} = {}", a.name->name, expr(*a.value)) : expr(*a.value);
}

std::string Inline::shape(const ShapeType& t) const {
  std::string dims =
      joined(t.dims, [&](const ShapeDim& d) { return d.is_ellipsis() ? std::string("...") : expr(*d.size); });
  return fmt::format("{}[{}]", t.element ? t.element->name.str() : "", dims);
}

std::string Inline::parameter(const Parameter& p) const {
  std::string out = p.name.name.str();
  if (p.type) out += ": " + shape(*p.type);
  if (p.fallback) out += " = " + expr(*p.fallback);
  return out;
}

std::string Inline::results(const std::vector<ShapeType>& types) const {
  if (types.empty()) return {};
  if (types.size() == 1) return " -> " + shape(types[0]);
  return fmt::format(" -> ({})", joined(types, [&](const ShapeType& t) { return shape(t); }));
}

std::string Inline::target(const Target& t) const {
  if (t.name) return t.name->name.str();
  return fmt::format("({})", joined(t.elements, [&](const Target& x) { return target(x); }));
}

std::string Inline::block(const Block& b) const {
  std::string out = "{";
  for (const Stmt& s : b.statements) out += (out.size() > 1 ? "; " : " ") + statement(s);
  return out + (b.statements.empty() ? "}" : " }");
}

std::string Inline::if_chain(const If& x) const {
  std::string out;
  for (const IfArm& a : x.arms) {
    out += fmt::format("{}if {} {}", out.empty() ? "" : " else ", expr(*a.condition), block(a.body));
  }
  return x.otherwise ? out + " else " + block(*x.otherwise) : out;
}

std::string Inline::scan_head(const Scan& x) const {
  std::string inputs =
      joined(x.inputs, [&](const ScanInput& i) { return fmt::format("{} in {}", i.item.name, expr(*i.sequence)); });
  std::string out = "scan " + inputs;
  if (x.axis) out += " along " + expr(*x.axis);
  if (x.reversed) out += " reversed";
  if (x.recompute) out += x.recompute->every ? " recompute every " + expr(*x.recompute->every) : " recompute";
  if (x.carries.empty()) return out;
  return out + " with " +
         joined(x.carries, [&](const ScanCarry& c) { return fmt::format("{} = {}", c.name.name, expr(*c.initial)); });
}

std::string Inline::expr(const Expr& e) const {
  return std::visit(
      Overloaded{
          [&](const Number& x) { return number(e, x); },
          [&](const String& x) { return quoted(x.value); },
          [&](const Bool& x) { return std::string(x.value ? "true" : "false"); },
          [&](const Name& x) { return x.name.str(); },
          [&](const Unary& x) {
            return fmt::format("{}{}{}", spelling(x.op), x.op == UnaryOp::Not ? " " : "", expr(*x.operand));
          },
          [&](const Binary& x) { return fmt::format("{} {} {}", expr(*x.lhs), spelling(x.op), expr(*x.rhs)); },
          [&](const Pipe& x) { return fmt::format("{} |> {}", expr(*x.value), expr(*x.stage)); },
          [&](const Call& x) {
            return fmt::format("{}({})", expr(*x.callee),
                               joined(x.arguments, [&](const Argument& a) { return argument(a); }));
          },
          [&](const Range& x) { return fmt::format("{}..{}", x.from ? expr(*x.from) : "", x.to ? expr(*x.to) : ""); },
          [&](const Index& x) { return fmt::format("{}[{}]", expr(*x.base), list(x.items)); },
          [&](const Member& x) { return fmt::format("{}.{}", expr(*x.base), x.name.name); },
          [&](const IndexReduction& x) {
            return fmt::format("{}[{}]({})", x.reducer.name,
                               joined(x.indices, [](const Ident& i) { return i.name.str(); }), expr(*x.body));
          },
          [&](const List& x) { return fmt::format("[{}]", list(x.elements)); },
          [&](const Tuple& x) { return fmt::format("({}{})", list(x.elements), x.elements.size() == 1 ? "," : ""); },
          [&](const Paren& x) { return fmt::format("({})", expr(*x.inner)); },
          [&](const AllBut& x) { return "all but " + expr(*x.axes); },
          [&](const If& x) { return if_chain(x); },
          [&](const Scan& x) { return scan_head(x) + " " + block(x.body); },
      },
      e.node);
}

std::string Inline::left_side(const Stmt& s) const {
  return std::visit(
      Overloaded{
          [&](const Bind& x) {
            std::string names = joined(x.targets, [&](const Target& t) { return target(t); });
            return x.type ? fmt::format("{}: {}", names, shape(*x.type)) : names;
          },
          [&](const IndexBind& x) {
            std::string out =
                fmt::format("{}[{}]", x.name.name, joined(x.indices, [](const Ident& i) { return i.name.str(); }));
            return x.type ? out + ": " + shape(*x.type) : out;
          },
          [&](const Dim& x) { return fmt::format("dim {}", x.name.name); },
          [&](const Param& x) { return fmt::format("param {}: {}", x.name.name, shape(x.type)); },
          [&](const State& x) { return fmt::format("state {}{}", x.name.name, x.type ? ": " + shape(*x.type) : ""); },
          [&](const Update& x) { return fmt::format("update {}", x.name.name); },
          [&](const Fn& x) { return fn_head(x); },
          [&](const auto&) { return std::string(); },
      },
      s.node);
}

std::string Inline::fn_head(const Fn& x) const {
  return fmt::format("fn {}({}){}", x.name.name, joined(x.parameters, [&](const Parameter& p) { return parameter(p); }),
                     results(x.results));
}

std::string Inline::body(const Body& b) const {
  const auto* e = std::get_if<ExprPtr>(&b);
  return e ? " = " + expr(**e) : " " + block(std::get<Block>(b));
}

std::string Inline::assertion(const Assert& x) const {
  std::string out = "assert " + expr(*x.condition);
  return x.message ? out + ", " + quoted(x.message->name.str()) : out;
}

std::string Inline::statement(const Stmt& s) const {
  return std::visit(
      Overloaded{
          [&](const If& x) { return if_chain(x); },
          [&](const For& x) { return fmt::format("for {} in {} {}", x.variable.name, expr(*x.range), block(x.body)); },
          [&](const Fn& x) { return left_side(s) + body(x.body); },
          [&](const Emit& x) { return "emit " + unwrapped(*x.value); },
          [&](const Return& x) { return "return " + unwrapped(*x.value); },
          [&](const Assert& x) { return assertion(x); },
          [&](const ExprStmt& x) { return expr(*x.value); },
          [&](const Dim& x) { return x.value ? left_side(s) + " = " + expr(*x.value) : left_side(s); },
          [&](const Param& x) { return left_side(s) + " = " + expr(*x.initial); },
          [&](const State& x) { return left_side(s) + " = " + expr(*x.initial); },
          [&](const auto& x) { return left_side(s) + " = " + expr(*x.value); },
      },
      s.node);
}

// `return a, b` is written without parentheses.
std::string Inline::unwrapped(const Expr& e) const {
  const auto* t = e.as<Tuple>();
  return t && t->elements.size() > 1 ? list(t->elements) : expr(e);
}

std::string Inline::reader(const DataReader& r) const {
  std::string out = reader_head(r);
  if (!r.block) return out;
  return fmt::format("{} {{ {} }}", out, joined(r.bindings, [&](const DataBinding& b) { return binding(b); }, "; "));
}

std::string Inline::reader_head(const DataReader& r) const {
  if (r.arguments.empty() && r.block) return r.reader.name.str();
  return fmt::format("{}({})", r.reader.name, joined(r.arguments, [&](const Argument& a) { return argument(a); }));
}

std::string Inline::binding(const DataBinding& b) const {
  return fmt::format("{} = {}", b.name.name, expr(*b.value));
}

std::string Inline::minimize(const Minimize& m) const {
  std::string out = fmt::format("minimize {}", m.loss.name);
  if (m.over) out += " over " + expr(*m.over);
  if (m.optimizer) out += " with " + expr(*m.optimizer);
  if (m.every) out += " every " + expr(*m.every);
  return out;
}

std::string inline_text(const Expr& e) {
  return Inline(nullptr).expr(e);
}
std::string inline_text(const ShapeType& type) {
  return Inline(nullptr).shape(type);
}

}  // namespace gradc::ast
