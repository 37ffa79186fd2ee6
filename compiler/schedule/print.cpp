#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "compiler/schedule/kernel.h"
#include "compiler/schedule/text_form.h"
#include "compiler/support/text.h"

namespace gradc {

std::string_view spelling(DimRole role) {
  constexpr std::string_view names[] = {"batch", "m", "n", "k"};
  return names[static_cast<size_t>(role)];
}

std::string_view spelling(BufferKind kind) {
  constexpr std::string_view names[] = {"input", "parameter", "state", "output", "temporary", "local", "shadow"};
  return names[static_cast<size_t>(kind)];
}

std::string quoted(Symbol text) {
  std::string out = "\"";
  for (char c : text.str()) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

namespace {

// What the comment after statement number `i` says.
using Remark = std::function<std::string(size_t i)>;

std::string affine(const Affine& a) {
  std::string out;
  auto term = [&](int64_t factor, const std::string& text) {
    if (out.empty()) {
      out = text;
    } else {
      out += (factor < 0 ? " - " : " + ") + (factor < 0 ? text.substr(1) : text);
    }
  };
  for (size_t d = 0; d < a.strides.size(); ++d) {
    if (int64_t s = a.strides[d]; s != 0) {
      term(s, s == 1 ? fmt::format("i{}", d) : s == -1 ? fmt::format("-i{}", d) : fmt::format("{}*i{}", s, d));
    }
  }
  if (a.offset != 0 || out.empty()) term(a.offset, fmt::to_string(a.offset));
  return out;
}

std::string value(ValueId v) { return fmt::format("v{}", v); }

std::string access(const Access& a) {
  std::string out = fmt::format("s{}[{}", a.slot, affine(a.at));
  for (const Indirect& i : a.indirect) out += fmt::format("; {}*{} in {}", i.stride, value(i.index), i.limit);
  if (a.block != 0) out += fmt::format("; {}*block", a.block);
  out += "]";
  if (a.guards.empty()) return out;
  for (size_t g = 0; g < a.guards.size(); ++g) {
    const Guard& guard = a.guards[g];
    out += fmt::format("{} ({}) in {}", g == 0 ? " when" : " and", affine(guard.at), guard.limit);
    if (guard.step != 1) out += fmt::format(" by {}", guard.step);
  }
  return out + " else " + shortest(a.fill);
}

std::string right_side(const Stmt& s) {
  switch (s.kind) {
    case StmtKind::Load: return "load " + access(s.access);
    case StmtKind::Index: return "index " + affine(s.access.at);
    case StmtKind::Random:
      return fmt::format("random {} {} site {} at {}", value(s.args[0]), value(s.args[1]), s.site, affine(s.access.at));
    case StmtKind::Reduce: return fmt::format("reduce {} {}", name(s.combiner), value(s.args[0]));
    case StmtKind::ReduceIndex:
      return fmt::format("reduce_index {} {} over i{}", name(s.combiner), value(s.args[0]), s.index_dim);
    case StmtKind::Accumulator: return "accumulator";
    default: break;
  }
  std::string out = name(s.op);
  if (s.op == ScalarOp::Const) return out + " " + shortest(s.constant);
  for (int i = 0; i < arity(s.op); ++i) out += " " + value(s.args[static_cast<size_t>(i)]);
  return out;
}

std::string statement(const Stmt& s) {
  switch (s.kind) {
    case StmtKind::Store: return fmt::format("store {} {} = {}", name(s.type), access(s.access), value(s.args[0]));
    case StmtKind::Yield: return fmt::format("yield {} {}", name(s.type), value(s.args[0]));
    case StmtKind::Accumulate: {
      std::string out = fmt::format("accumulate {} {} {} = {}", name(s.combiner), name(s.type), access(s.access), value(s.args[0]));
      for (size_t i = 0; i < s.first.size(); ++i) out += fmt::format("{} i{}", i == 0 ? " first" : "", s.first[i]);
      return out;
    }
    default: return fmt::format("{}: {} = {}", value(s.value), name(s.type), right_side(s));
  }
}

class BodyPrinter {
 public:
  explicit BodyPrinter(Remark remark) : remark_(std::move(remark)) {}

  std::string print(const KernelBody& body) {
    line("{} {} (", quoted(body.name), std::holds_alternative<Nest>(body.form) ? "nest" : "contraction");
    out_.pop_back();
    for (size_t i = 0; i < body.slots.size(); ++i) {
      out_ += fmt::format("{}s{}: {}{}", i ? ", " : "", i, body.slots[i].written ? "out " : "", name(body.slots[i].element));
    }
    out_ += ")\n";
    ++depth_;
    std::visit([&](const auto& form) { this->form(form); }, body.form);
    return out_;
  }

 private:
  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    out_.append(static_cast<size_t>(depth_) * 2, ' ');
    out_ += fmt::format(format, std::forward<Args>(args)...) + "\n";
  }

  void dims(const std::vector<KernelDim>& dims, const std::vector<DimRole>& roles) {
    for (size_t d = 0; d < dims.size(); ++d) {
      std::string role = roles.empty() ? "" : fmt::format(" {}", spelling(roles[d]));
      line("dim i{} = {}{}{}", d, dims[d].extent, role, dims[d].name ? " " + quoted(dims[d].name) : "");
    }
  }

  void stmts(const std::vector<Stmt>& list) {
    for (const Stmt& s : list) {
      std::string text = statement(s), why = remark_ ? remark_(statement_) : "";
      ++statement_;
      if (why.empty()) {
        line("{}", text);
      } else {
        line("{:<44}  # {}", text, why);
      }
    }
  }

  void loop(const Loop& l, int vector_dim, bool parallel, bool last) {
    line("{}for i{}{}{}", parallel ? "parallel " : "", l.dim, l.step == 1 ? "" : fmt::format(" step {}", l.step),
         last && l.dim == vector_dim && l.step == 1 ? " vector" : "");
    ++depth_;
  }

  void form(const Nest& n) {
    dims(n.dims, {});
    if (n.accumulators != Nest{}.accumulators) line("accumulators {}", n.accumulators);
    if (n.vector_dim >= 0) line("vector i{}", n.vector_dim);
    for (size_t l = 0; l < n.outer.size(); ++l) {
      loop(n.outer[l], n.vector_dim, static_cast<int>(l) < n.parallel, l + 1 == n.outer.size());
    }
    for (const Section& s : n.sections) {
      int depth = depth_++;
      out_.append(static_cast<size_t>(depth) * 2, ' ');
      out_ += "section\n";
      for (size_t l = 0; l < s.inner.size(); ++l) loop(s.inner[l], n.vector_dim, false, l + 1 == s.inner.size());
      stmts(s.stmts);
      depth_ = depth;
    }
  }

  void form(const Contraction& c) {
    dims(c.dims, c.roles);
    line("tiles {} mr {} nr {} kc {} block_m {} block_n {}{}", name(c.element), c.mr, c.nr, c.kc, c.block_m, c.block_n,
         c.panels > 0 ? fmt::format(" panels {}", c.panels) : "");
    const std::pair<const char*, const std::vector<Stmt>*> parts[] = {{"lhs", &c.lhs}, {"rhs", &c.rhs}, {"epilogue", &c.epilogue}};
    for (const auto& [title, list] : parts) {
      line("{}", title);
      ++depth_;
      stmts(*list);
      --depth_;
    }
  }

  Remark remark_;
  std::string out_;
  int depth_ = 0;
  size_t statement_ = 0;
};

std::string source_of(const KernelProgram& p, ProvenanceId id, const SourceManager& sources) {
  if (!id) return {};
  for (OriginId o : p.provenance.get(id).origins) {
    SourceSpan span = p.provenance.user_span(o, sources);
    if (span) return sources.describe(span);
  }
  return {};
}

// "h1, model.grad:7:3": of the first call of the body, since a shared body has many.
Remark remarks(const KernelProgram& p, const KernelInstance* call, const SourceManager& sources) {
  if (!call) return {};
  return [&p, call, &sources](size_t i) {
    std::string label = i < call->labels.size() ? call->labels[i].str() : "";
    std::string place = i < call->provenance.size() ? source_of(p, call->provenance[i], sources) : "";
    return label.empty() || place.empty() ? label + place : label + ", " + place;
  };
}

std::string buffer_line(const KernelProgram& p, size_t i) {
  const Buffer& b = p.buffers[i];
  std::string out = fmt::format("buffer b{} {} {} {}", i, spelling(b.kind), quoted(b.name), name(b.type.element));
  out += "[";
  for (size_t d = 0; d < b.type.rank(); ++d) {
    const Dim& dim = b.type.dims[d];
    out += fmt::format("{}{}{}", d ? ", " : "", dim.name ? quoted(dim.name) + "=" : "", dim.size);
  }
  out += "]";
  if (b.kind == BufferKind::Temporary || b.kind == BufferKind::Local) out += fmt::format(" at {}", b.offset);
  if (b.kind == BufferKind::Shadow) out += fmt::format(" of b{}", b.source.index);
  return out + "\n";
}

// " + 4096*l0 - 128*(l1 + 1 mod 2)"
std::string place_text(const SlotPlace& place) {
  std::string out;
  auto sign = [&](int64_t factor) { out += factor < 0 ? " - " : " + "; };
  if (place.offset != 0) {
    sign(place.offset);
    out += fmt::to_string(std::abs(place.offset));
  }
  for (const Move& m : place.moves) {
    sign(m.stride);
    out += fmt::format("{}*", std::abs(m.stride));
    if (m.period == 0) {
      out += fmt::format("l{}", m.loop);
    } else {
      out += fmt::format("(l{} + {} mod {})", m.loop, m.phase, m.period);
    }
  }
  return out;
}

std::string call_line(const KernelInstance& k) {
  std::string out = fmt::format("call {} body {} (", quoted(k.name), k.body.index);
  for (size_t i = 0; i < k.buffers.size(); ++i) {
    out += fmt::format("{}b{}", i ? ", " : "", k.buffers[i].index);
    if (!k.places.empty()) out += place_text(k.places[i]);
  }
  out += ")";
  if (!k.sites.empty()) out += " sites";
  for (uint32_t s : k.sites) out += fmt::format(" {}", s);
  if (std::any_of(k.labels.begin(), k.labels.end(), [](Symbol s) { return bool(s); })) {
    out += " labels";
    for (Symbol s : k.labels) out += " " + quoted(s);
  }
  return out + "\n";
}

std::string calls(const KernelProgram& p) {
  std::string out;
  std::vector<int32_t> open;  // ends of the loops that are open
  size_t next = 0;
  auto line = [&](const std::string& text) { out += std::string(2 * open.size(), ' ') + text; };
  for (size_t k = 0; k < p.instances.size(); ++k) {
    const auto at = static_cast<int32_t>(k);
    for (; !open.empty() && open.back() <= at; line("end\n")) open.pop_back();
    for (; next < p.loops.size() && p.loops[next].begin == at; ++next) {
      line(fmt::format("loop l{} {} trips {}{}\n", next, quoted(p.loops[next].name), p.loops[next].trips, p.loops[next].shared ? " shared" : ""));
      open.push_back(p.loops[next].end);
    }
    line(call_line(p.instances[k]));
  }
  for (; !open.empty(); line("end\n")) open.pop_back();
  return out;
}

}  // namespace

std::string print(const KernelBody& body) { return BodyPrinter({}).print(body); }

std::string print(const KernelProgram& p, const SourceManager& sources) {
  const Target& t = p.target;
  std::string out = fmt::format("kernels {}\n", quoted(p.name));
  out += fmt::format("target {} {} vector_bytes {} registers {} l1 {} l2 {}\n", quoted(t.cpu), quoted(t.features), t.vector_bytes,
                     t.vector_registers, t.l1_bytes, t.l2_bytes);
  out += fmt::format("arena {} lower_bound {}", p.arena_bytes, p.arena_lower_bound);
  out += p.local_bytes > 0 ? fmt::format(" local {}\n\n", p.local_bytes) : "\n\n";
  for (size_t i = 0; i < p.buffers.size(); ++i) out += buffer_line(p, i);
  for (size_t i = 0; i < p.bodies.size(); ++i) {
    auto first = std::find_if(p.instances.begin(), p.instances.end(), [&](const KernelInstance& k) { return k.body.at() == i; });
    const KernelInstance* call = first == p.instances.end() ? nullptr : &*first;
    out += fmt::format("\nbody {} ", i) + BodyPrinter(remarks(p, call, sources)).print(p.bodies[i]);
  }
  return out + "\n" + calls(p);
}

}  // namespace gradc
