#pragma once

#include "frontend/sema/elaborator.h"

namespace gradc::sema {

using Label = int;  // a place in Notation's table of indices

// offset + sum of scale * index: how one axis is read.
struct Affine {
  struct Term {
    Label label;
    int64_t scale;
  };
  SourceSpan span;
  int64_t offset = 0;
  std::vector<Term> terms;  // each label once, no scale 0

  bool plain() const { return offset == 0 && terms.size() == 1 && terms[0].scale == 1; }
};

// A value with one label an axis; without labels it is any value.
struct Labelled {
  Value value;
  std::vector<Label> labels;
};

// One use of index notation, from its outermost binding or reduction: s[i, j] = sum[k](a[i, k] * b[j, k]).
//
// Two walks. The first finds every index and settles how many values it takes: an index that stands alone in brackets takes the size
// of that axis, all such places must agree, and a declared shape settles the rest. The second builds: every read of a tensor becomes
// a view with one axis an index (windows as in convolution: pad, broadcast, skew, slice; 0 outside), products under a sum become
// contractions, everything else is element by element over the union of the indices.
class Notation {
 public:
  explicit Notation(Elaborator& sema) : sema_(sema) {}
  void bind(const ast::IndexBind& s);
  Value reduction(const ast::Expr& e);

 private:
  struct IndexInfo {
    Symbol name;
    SourceSpan span;
    bool summed = false;
    std::optional<int64_t> size;
    Symbol dim;            // the axis's name
    std::string settled;   // what settled the size, as written
    SourceSpan settled_at;
    Value settled_by;
    SourceSpan window;     // a place where it does not stand alone
  };
  struct Read {
    Value base;
    std::vector<Affine> axes;
  };
  using Scope = std::map<Symbol, Label>;

  // The first walk.
  Label declare(const ast::Ident& index, bool summed);
  void collect(const ast::Expr& e);
  void collect_read(const ast::Index& i, const ast::Expr& at);
  void settle(Label label, int64_t size, Symbol dim, const std::string& where, SourceSpan at, const Value& by);
  void settle_declared(const ast::IndexBind& s, const std::vector<Label>& order);
  void check_settled();
  bool mentions(const ast::Expr& e) const;
  Affine affine(const ast::Expr& e);
  Affine combined(Affine a, const Affine& b, int64_t scale) const;
  [[noreturn]] void not_affine(const ast::Expr& e);
  [[noreturn]] void refuse(const ast::Expr& e);
  void check_bound(const ast::Expr& item);

  // The second walk.
  Labelled build(const ast::Expr& e);
  Labelled build_reduction(const ast::IndexReduction& r, SourceSpan at);
  Labelled build_call(const ast::Expr& callee, const std::vector<std::pair<Symbol, const ast::Expr*>>& parts, SourceSpan at);
  Labelled sum_of_product(const std::vector<const ast::Expr*>& factors, const std::vector<Label>& summed, SourceSpan at);
  Labelled multiplied(const Labelled& a, const Labelled& b, const std::vector<Label>& dropped, SourceSpan sa, SourceSpan sb, SourceSpan at);
  Labelled reduced(const char* reducer, const Labelled& x, const std::vector<Label>& over, SourceSpan at);
  Labelled pointwise(const std::vector<Labelled>& parts, SourceSpan at, const std::function<Value(const std::vector<Value>&)>& build);
  Value logical(const char* op, const std::vector<Value>& values, const std::vector<SourceSpan>& spans, SourceSpan at);
  Labelled counter(Label label, SourceSpan at);
  Value spread(const Labelled& from, const std::vector<Label>& labels, SourceSpan at);
  std::vector<Dim> dims_of(const std::vector<Label>& labels) const;

  // notation_views.cpp
  Labelled view(const Read& read, const ast::Expr& at);

  const IndexInfo& info(Label l) const { return indices_[static_cast<size_t>(l)]; }
  int64_t size(Label l) const { return *info(l).size; }

  Elaborator& sema_;
  std::vector<IndexInfo> indices_;
  Scope scope_;
  std::map<const ast::IndexReduction*, std::vector<Label>> reductions_;
  std::map<const ast::Index*, Read> reads_;
};

// The place of a label, or -1.
int64_t position(const std::vector<Label>& labels, Label l);

}  // namespace gradc::sema
