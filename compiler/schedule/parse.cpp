#include <algorithm>

#include "compiler/schedule/kernel.h"
#include "compiler/schedule/parse_line.h"
#include "compiler/schedule/text_form.h"

namespace gradc {
namespace {

using namespace kernel_text;

class StatementParser {
 public:
  explicit StatementParser(size_t dims) : dims_(dims) {}

  Stmt parse(Line& l) const {
    Stmt s;
    if (l.accept("store")) {
      s.kind = StmtKind::Store;
      store(l, s);
    } else if (l.accept("accumulate")) {
      s.kind = StmtKind::Accumulate;
      s.combiner = l.combiner();
      store(l, s);
      if (l.accept("first")) {
        while (!l.end()) s.first.push_back(l.numbered('i'));
      }
    } else if (l.accept("yield")) {
      s.kind = StmtKind::Yield;
      s.type = l.element();
      s.args[0] = l.numbered('v');
    } else {
      s.value = l.numbered('v');
      l.expect(":");
      s.type = l.element();
      l.expect("=");
      right_side(l, s);
    }
    l.finish();
    return s;
  }

 private:
  void store(Line& l, Stmt& s) const {
    s.type = l.element();
    s.access = access(l);
    l.expect("=");
    s.args[0] = l.numbered('v');
  }

  void right_side(Line& l, Stmt& s) const {
    if (l.accept("load")) {
      s.kind = StmtKind::Load;
      s.access = access(l);
    } else if (l.accept("index")) {
      s.kind = StmtKind::Index;
      s.access.at = affine(l);
    } else if (l.accept("random")) {
      s.kind = StmtKind::Random;
      s.args[0] = l.numbered('v');
      s.args[1] = l.numbered('v');
      l.expect("site");
      s.site = static_cast<int>(l.integer());
      l.expect("at");
      s.access.at = affine(l);
    } else if (l.accept("reduce")) {
      s.kind = StmtKind::Reduce;
      s.combiner = l.combiner();
      s.args[0] = l.numbered('v');
    } else if (l.accept("reduce_index")) {
      s.kind = StmtKind::ReduceIndex;
      s.combiner = l.combiner();
      s.args[0] = l.numbered('v');
      l.expect("over");
      s.index_dim = l.numbered('i');
    } else if (l.accept("accumulator")) {
      s.kind = StmtKind::Accumulator;
    } else {
      compute(l, s);
    }
  }

  void compute(Line& l, Stmt& s) const {
    s.kind = StmtKind::Compute;
    std::string_view op = l.next();
    if (!parse_scalar_op(op, s.op)) fail("no statement or scalar operation is called '{}'", op);
    if (s.op == ScalarOp::Const) {
      s.constant = l.number();
      return;
    }
    for (int i = 0; i < arity(s.op); ++i) s.args[static_cast<size_t>(i)] = l.numbered('v');
  }

  Affine affine(Line& l) const {
    Affine a{0, std::vector<int64_t>(dims_, 0)};
    bool negative = l.accept("-");
    while (true) {
      int64_t factor = negative ? -1 : 1;
      if (l.at_numbered('i')) {
        a.strides[dim(l)] += factor;
      } else {
        factor *= l.integer();
        if (l.accept("*")) {
          a.strides[dim(l)] += factor;
        } else {
          a.offset += factor;
        }
      }
      if (l.accept("+")) {
        negative = false;
      } else if (l.accept("-")) {
        negative = true;
      } else {
        return a;
      }
    }
  }
  size_t dim(Line& l) const {
    auto d = static_cast<size_t>(l.numbered('i'));
    if (d >= dims_) fail("the kernel has no dim i{}", d);
    return d;
  }

  Access access(Line& l) const {
    Access a;
    a.slot = l.numbered('s');
    l.expect("[");
    a.at = affine(l);
    while (l.accept(";")) {
      int64_t stride = l.integer();
      l.expect("*");
      if (l.accept("block")) {
        a.block = stride;
      } else {
        int v = l.numbered('v');
        l.expect("in");
        a.indirect.push_back({v, stride, l.integer()});
      }
    }
    l.expect("]");
    if (l.accept("when")) {
      do a.guards.push_back(guard(l));
      while (l.accept("and"));
      l.expect("else");
      a.fill = l.number();
    }
    return a;
  }
  Guard guard(Line& l) const {
    Guard g;
    l.expect("(");
    g.at = affine(l);
    l.expect(")");
    l.expect("in");
    g.limit = l.integer();
    if (l.accept("by")) g.step = l.integer();
    return g;
  }

  size_t dims_;
};

// Each line is told apart by its first word; indentation is for people.
class ProgramParser {
 public:
  ProgramParser(std::string_view text, SourceManager& sources) : text_(text) {
    // A library file, so that a printed program never takes its own text for the user's source.
    file_ = sources.add("kernels", std::string(text), /*library=*/true);
  }

  KernelParseResult run() {
    size_t begin = 0, number = 0;
    try {
      while (begin < text_.size()) {
        size_t end = std::min(text_.find('\n', begin), text_.size());
        ++number;
        span_ = {file_, static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
        Line line(text_.substr(begin, end - begin));
        if (!line.end()) top(line);
        begin = end + 1;
      }
    } catch (const ParseFailure& e) {
      return {std::nullopt, fmt::format("line {}: {}", number, e.what())};
    } catch (const std::out_of_range&) {
      return {std::nullopt, fmt::format("line {}: out of place", number)};
    }
    if (!open_.empty()) return {std::nullopt, fmt::format("line {}: loop l{} has no end", number, open_.back())};
    return {std::move(p_), {}};
  }

 private:
  void top(Line& l) {
    if (l.accept("kernels")) {
      p_.name = l.string();
    } else if (l.accept("target")) {
      target(l);
    } else if (l.accept("arena")) {
      p_.arena_bytes = l.integer();
      l.expect("lower_bound");
      p_.arena_lower_bound = l.integer();
      if (l.accept("local")) p_.local_bytes = l.integer();
    } else if (l.accept("buffer")) {
      buffer(l);
    } else if (l.accept("body")) {
      body(l);
    } else if (l.accept("call")) {
      call(l);
    } else if (l.accept("loop")) {
      loop(l);
    } else if (l.accept("end")) {
      if (open_.empty()) fail("no loop is open here");
      p_.loops[open_.back()].end = static_cast<int32_t>(p_.instances.size());
      open_.pop_back();
    } else if (p_.bodies.empty()) {
      fail("unexpected '{}'", l.peek());
    } else if (Nest* n = std::get_if<Nest>(&p_.bodies.back().form)) {
      in_nest(l, *n);
    } else {
      in_contraction(l, std::get<Contraction>(p_.bodies.back().form));
    }
    l.finish();
  }

  void target(Line& l) {
    Target& t = p_.target;
    t.cpu = l.string().str();
    t.features = l.string().str();
    l.expect("vector_bytes");
    t.vector_bytes = l.integer32();
    l.expect("registers");
    t.vector_registers = l.integer32();
    l.expect("l1");
    t.l1_bytes = l.integer();
    l.expect("l2");
    t.l2_bytes = l.integer();
  }

  void buffer(Line& l) {
    Buffer b;
    if (static_cast<size_t>(l.numbered('b')) != p_.buffers.size()) fail("buffers are numbered from b0 in order");
    std::string_view kind = l.next();
    bool known = false;
    for (BufferKind k : {BufferKind::Input, BufferKind::Parameter, BufferKind::State, BufferKind::Output, BufferKind::Temporary,
                         BufferKind::Local, BufferKind::Shadow}) {
      if (kind == spelling(k)) b.kind = k, known = true;
    }
    if (!known) fail("no kind of buffer is called '{}'", kind);
    b.name = l.string();
    b.type.element = l.element();
    l.expect("[");
    while (!l.accept("]")) {
      Dim d;
      if (l.at_string()) {
        d.name = l.string();
        l.expect("=");
      }
      d.size = l.integer();
      b.type.dims.push_back(d);
      l.accept(",");
    }
    if (l.accept("at")) b.offset = l.integer();
    if (l.accept("of")) b.source = BufferId(static_cast<size_t>(l.numbered('b')));
    p_.buffers.push_back(b);
  }

  void body(Line& l) {
    if (static_cast<size_t>(l.integer()) != p_.bodies.size()) fail("bodies are numbered from 0 in order");
    KernelBody b;
    b.name = l.string();
    if (l.accept("contraction")) {
      b.form = Contraction{};
    } else {
      l.expect("nest");
    }
    l.expect("(");
    while (!l.accept(")")) {
      l.numbered('s');
      l.expect(":");
      bool written = l.accept("out");
      b.slots.push_back({l.element(), written});
      l.accept(",");
    }
    p_.bodies.push_back(std::move(b));
    lines_.emplace_back();
    part_ = nullptr;
    in_section_ = false;
  }

  // Number, extent and name of a dim; its role in between.
  KernelDim dim(Line& l, size_t count, std::vector<DimRole>* roles) {
    if (static_cast<size_t>(l.numbered('i')) != count) fail("dims are numbered from i0 in order");
    l.expect("=");
    KernelDim d{l.integer(), {}};
    if (roles) {
      std::string_view r = l.next();
      for (DimRole role : {DimRole::Batch, DimRole::M, DimRole::N, DimRole::K}) {
        if (r == spelling(role)) roles->push_back(role);
      }
      if (roles->size() != count + 1) fail("no role is called '{}'", r);
    }
    if (l.at_string()) d.name = l.string();
    return d;
  }

  void in_nest(Line& l, Nest& n) {
    if (l.accept("dim")) {
      n.dims.push_back(dim(l, n.dims.size(), nullptr));
    } else if (l.accept("accumulators")) {
      n.accumulators = l.integer32();
    } else if (l.accept("vector")) {
      n.vector_dim = l.numbered('i');
    } else if (l.accept("section")) {
      n.sections.emplace_back();
      in_section_ = true;
    } else if (l.peek() == "parallel" || l.peek() == "for") {
      if (l.accept("parallel")) ++n.parallel;
      l.expect("for");
      Loop loop{l.numbered('i'), 1};
      if (l.accept("step")) loop.step = l.integer();
      l.accept("vector");
      (in_section_ ? n.sections.back().inner : n.outer).push_back(loop);
    } else {
      if (!in_section_) fail("a statement outside of a section");
      statement(l, n.sections.back().stmts, n.dims.size());
    }
  }

  void in_contraction(Line& l, Contraction& c) {
    if (l.accept("dim")) {
      c.dims.push_back(dim(l, c.dims.size(), &c.roles));
    } else if (l.accept("tiles")) {
      c.element = l.element();
      const std::pair<const char*, int64_t*> tiles[] = {
          {"mr", &c.mr}, {"nr", &c.nr}, {"kc", &c.kc}, {"block_m", &c.block_m}, {"block_n", &c.block_n}};
      for (const auto& [word, value] : tiles) {
        l.expect(word);
        *value = l.integer();
      }
      if (l.accept("panels")) c.panels = l.integer();
    } else if (l.accept("lhs")) {
      part_ = &c.lhs;
    } else if (l.accept("rhs")) {
      part_ = &c.rhs;
    } else if (l.accept("epilogue")) {
      part_ = &c.epilogue;
    } else {
      if (!part_) fail("a statement outside of lhs, rhs and epilogue");
      statement(l, *part_, c.dims.size());
    }
  }

  void statement(Line& l, std::vector<Stmt>& list, size_t dims) {
    list.push_back(StatementParser(dims).parse(l));
    lines_.back().push_back(p_.provenance.from(p_.provenance.add(Origin{span_, {}, {}})));
  }

  void loop(Line& l) {
    if (static_cast<size_t>(l.numbered('l')) != p_.loops.size()) fail("loops are numbered from l0 in order");
    CallLoop loop;
    loop.name = l.string();
    l.expect("trips");
    loop.trips = l.integer();
    loop.shared = l.accept("shared");
    loop.begin = static_cast<int32_t>(p_.instances.size());
    open_.push_back(p_.loops.size());
    p_.loops.push_back(loop);
  }

  SlotPlace place(Line& l) const {
    SlotPlace out;
    while (true) {
      int64_t factor = l.accept("+") ? 1 : l.accept("-") ? -1 : 0;
      if (factor == 0) return out;
      factor *= l.integer();
      if (!l.accept("*")) {
        out.offset += factor;
        continue;
      }
      Move m{0, factor};
      bool wraps = l.accept("(");
      m.loop = l.numbered('l');
      if (std::find(open_.begin(), open_.end(), static_cast<size_t>(m.loop)) == open_.end()) fail("no loop l{} is open here", m.loop);
      if (wraps) {
        l.expect("+");
        m.phase = l.integer();
        l.expect("mod");
        m.period = l.integer();
        l.expect(")");
      }
      out.moves.push_back(m);
    }
  }

  void call(Line& l) {
    KernelInstance k;
    k.name = l.string();
    l.expect("body");
    k.body = BodyId(static_cast<size_t>(l.integer()));
    if (k.body.at() >= p_.bodies.size()) fail("there is no body {}", k.body.index);
    l.expect("(");
    while (!l.accept(")")) {
      k.buffers.push_back(BufferId(static_cast<size_t>(l.numbered('b'))));
      k.places.push_back(place(l));
      l.accept(",");
    }
    if (std::all_of(k.places.begin(), k.places.end(), [](const SlotPlace& p) { return p == SlotPlace{}; })) k.places.clear();
    k.provenance = lines_[k.body.at()];
    if (l.accept("sites")) {
      for (size_t i = site_count(p_[k.body]); i > 0; --i) k.sites.push_back(static_cast<uint32_t>(l.integer()));
    }
    if (l.accept("labels")) {
      while (!l.end()) k.labels.push_back(l.string());
    } else {
      k.labels.resize(k.provenance.size());
    }
    p_.instances.push_back(std::move(k));
  }

  std::string_view text_;
  FileId file_;
  SourceSpan span_;
  KernelProgram p_;
  std::vector<std::vector<ProvenanceId>> lines_;  // by body, by statement
  std::vector<size_t> open_;                      // loops whose end is still to come
  std::vector<Stmt>* part_ = nullptr;
  bool in_section_ = false;
};

}  // namespace

KernelParseResult parse_kernels(std::string_view text, SourceManager& sources) { return ProgramParser(text, sources).run(); }

}  // namespace gradc
