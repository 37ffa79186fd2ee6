#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "compiler/eval/odometer.h"
#include "compiler/eval/scan.h"
#include "compiler/eval/values.h"
#include "compiler/support/error.h"

namespace gradc {
namespace {

using Operands = std::vector<const Tensor*>;

size_t uz(int64_t i) { return static_cast<size_t>(i); }

// Integers wrap.
double add(double a, double b) { return a + b; }
int64_t add(int64_t a, int64_t b) { return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b)); }
double multiply(double a, double b) { return a * b; }
int64_t multiply(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

// ---- values from nothing ----

Tensor eval_constant(const Node& n) {
  Tensor out = Tensor::zeros(n.type);
  for (int64_t i = 0; i < n.type.count(); ++i) out.set(i, n.attrs.number("value"));
  return out;
}

Tensor eval_iota(const Node& n) {
  Tensor out = Tensor::zeros(n.type);
  auto axis = uz(n.attrs.integer("axis"));
  int64_t stride = n.type.strides()[axis], size = n.type.size(axis);
  for (int64_t i = 0; i < n.type.count(); ++i) out.set(i, static_cast<double>(i / stride % size));
  return out;
}

Tensor eval_random(const Node& n, const Operands& in) {
  Tensor out = Tensor::zeros(n.type);
  auto seed = static_cast<uint64_t>(in[0]->as<int64_t>()[0]);
  auto step = static_cast<uint32_t>(saturating_int(in[1]->at(0)));
  auto site = static_cast<uint32_t>(n.attrs.integer("site"));
  for (int64_t i = 0; i < n.type.count(); ++i) {
    out.set(i, philox_uniform(seed, step, site, static_cast<uint64_t>(i), n.type.element));
  }
  return out;
}

Tensor eval_pointwise(const Node& n, const Operands& in) {
  std::vector<Element> elements;
  for (const Tensor* t : in) {
    GRADC_ASSERT(t->type.same_shape(n.type), "{} of {} gives {}", n.op->name, to_string(t->type), to_string(n.type));
    elements.push_back(t->type.element);
  }
  return run_program(n.op->program(elements, n.attrs), in, n.type);
}

// ---- elements moved about ----

void copy_elements(Tensor& to, int64_t at, const Tensor& from, int64_t from_at, int64_t n = 1) {
  size_t width = byte_size(to.type.element);
  std::memcpy(to.bytes.data() + uz(at) * width, from.bytes.data() + uz(from_at) * width, uz(n) * width);
}

Tensor eval_view(const Node& n, const Tensor& x) {
  Tensor out = Tensor::zeros(n.type);
  if (out.bytes.empty()) return out;
  std::vector<ViewTerm> terms = n.op->view(x.type, n.type, n.attrs);
  std::vector<int64_t> steps(n.type.rank(), 0), strides = x.type.strides();
  int64_t start = 0;
  for (size_t axis = 0; axis < terms.size(); ++axis) {
    start += terms[axis].offset * strides[axis];
    if (terms[axis].axis >= 0) steps[uz(terms[axis].axis)] += terms[axis].scale * strides[axis];
    if (terms[axis].by >= 0) steps[uz(terms[axis].by)] += terms[axis].by_scale * strides[axis];
  }
  Odometer<1> walk(n.type.sizes(), {steps});
  int64_t i = 0;
  do {
    int64_t from = start + walk[0];
    GRADC_ASSERT(from >= 0 && from < x.type.count(), "{} reads outside its operand", n.op->name);
    copy_elements(out, i++, x, from);
  } while (walk.next());
  return out;
}

Tensor eval_reshape(const Node& n, const Tensor& x) { return {n.type, x.bytes}; }

Tensor eval_pad(const Node& n, const Tensor& x) {
  Tensor out = Tensor::zeros(n.type);
  for (int64_t i = 0; i < n.type.count(); ++i) out.set(i, n.attrs.number("value"));
  const auto &low = n.attrs.integers("low"), &interior = n.attrs.integers("interior");
  std::vector<int64_t> in_strides = x.type.strides(), out_strides = n.type.strides();
  for (int64_t i = 0; i < x.type.count(); ++i) {
    int64_t at = 0;
    bool inside = true;  // negative padding crops
    for (size_t axis = 0; axis < x.type.rank(); ++axis) {
      int64_t index = low[axis] + i / in_strides[axis] % x.type.size(axis) * (interior[axis] + 1);
      inside = inside && index >= 0 && index < n.type.size(axis);
      at += index * out_strides[axis];
    }
    if (inside) copy_elements(out, at, x, i);
  }
  return out;
}

// Axes before, at and after `axis` as three numbers: a tensor as [outer, size, inner].
struct Split {
  int64_t outer = 1, inner = 1;
};
Split split_at(const Type& t, size_t axis) {
  Split s;
  for (size_t i = 0; i < t.rank(); ++i) {
    if (i < axis) s.outer *= t.size(i);
    if (i > axis) s.inner *= t.size(i);
  }
  return s;
}

Tensor eval_concatenate(const Node& n, const Operands& in) {
  Tensor out = Tensor::zeros(n.type);
  auto axis = uz(n.attrs.integer("axis"));
  Split s = split_at(n.type, axis);
  int64_t offset = 0;
  for (const Tensor* x : in) {
    int64_t run = x->type.size(axis) * s.inner;
    for (int64_t o = 0; o < s.outer; ++o) copy_elements(out, o * n.type.size(axis) * s.inner + offset, *x, o * run, run);
    offset += run;
  }
  return out;
}

// Indices outside are clamped to the nearest row.
std::vector<int64_t> row_indices(const Tensor& indices, int64_t rows) {
  auto list = read_all<int64_t>(indices);
  for (int64_t& i : list) i = std::clamp<int64_t>(i, 0, rows - 1);
  return list;
}

Tensor eval_gather(const Node& n, const Tensor& x, const Tensor& indices) {
  Tensor out = Tensor::zeros(n.type);
  auto axis = uz(n.attrs.integer("axis"));
  Split s = split_at(x.type, axis);
  int64_t rows = x.type.size(axis), at = 0;
  std::vector<int64_t> picks = row_indices(indices, rows);
  for (int64_t o = 0; o < s.outer; ++o) {
    for (int64_t pick : picks) {
      copy_elements(out, at, x, (o * rows + pick) * s.inner, s.inner);
      at += s.inner;
    }
  }
  return out;
}

template <class V>
Tensor scatter_add(const Node& n, const Tensor& indices, const Tensor& updates) {
  auto axis = uz(n.attrs.integer("axis"));
  Split s = split_at(n.type, axis);
  int64_t rows = n.type.size(axis);
  std::vector<int64_t> picks = row_indices(indices, rows);
  auto from = read_all<V>(updates);
  std::vector<V> sums(uz(n.type.count()), V{0});
  size_t i = 0;
  for (int64_t o = 0; o < s.outer; ++o) {
    for (int64_t pick : picks) {
      for (int64_t k = 0; k < s.inner; ++k) {
        V& sum = sums[uz((o * rows + pick) * s.inner + k)];
        sum = add(sum, from[i++]);
      }
    }
  }
  return tensor_of(n.type, sums);
}

// ---- reductions ----

// The strides by which an index of the operand addresses the result: zero along reduced axes.
std::vector<int64_t> kept_strides(const Type& operand, const Type& result, const std::vector<int64_t>& axes) {
  std::vector<int64_t> strides(operand.rank(), 0), of_result = result.strides();
  size_t next = 0;
  for (size_t axis = 0; axis < operand.rank(); ++axis) {
    if (std::find(axes.begin(), axes.end(), int64_t(axis)) == axes.end()) strides[axis] = of_result[next++];
  }
  return strides;
}

template <class V>
V neutral(Combiner c) {
  using Limits = std::numeric_limits<V>;
  switch (c) {
    case Combiner::Sum: return Limits::has_infinity ? V(-0.0) : V(0);  // x + -0 is x, also for -0
    case Combiner::Prod: return 1;
    case Combiner::Max: return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
    case Combiner::Min: return Limits::has_infinity ? Limits::infinity() : Limits::max();
  }
  GRADC_BUG("unknown combiner");
}

bool is_nan(double v) { return std::isnan(v); }
bool is_nan(int64_t) { return false; }
bool before(double a, double b) { return a < b || (a == b && std::signbit(a) && !std::signbit(b)); }
bool before(int64_t a, int64_t b) { return a < b; }

template <class V>
V combine(Combiner c, V a, V b) {
  switch (c) {
    case Combiner::Sum: return add(a, b);
    case Combiner::Prod: return multiply(a, b);
    case Combiner::Max: return is_nan(a) || (!is_nan(b) && !before(a, b)) ? a : b;
    case Combiner::Min: return is_nan(a) || (!is_nan(b) && !before(b, a)) ? a : b;
  }
  GRADC_BUG("unknown combiner");
}

template <class V>
Tensor reduce(const Node& n, const Tensor& x) {
  Combiner c = *n.op->combiner;
  std::vector<V> result(uz(n.type.count()), neutral<V>(c));
  Odometer<1> walk(x.type.sizes(), {kept_strides(x.type, n.type, n.attrs.integers("axes"))});
  for (V v : read_all<V>(x)) {
    V& slot = result[uz(walk[0])];
    slot = combine(c, slot, v);
    walk.next();
  }
  return tensor_of(n.type, result);
}

// The first extreme; a NaN is more extreme than any number, and zeros of either sign are equal.
template <class V>
bool more_extreme(Combiner c, V candidate, V best) {
  if (is_nan(best)) return false;
  if (is_nan(candidate)) return true;
  return c == Combiner::Max ? candidate > best : candidate < best;
}

template <class V>
Tensor arg_reduce(const Node& n, const Tensor& x) {
  Tensor out = Tensor::zeros(n.type);
  auto axis = uz(n.attrs.integer("axis"));
  Split s = split_at(x.type, axis);
  auto values = read_all<V>(x);
  int64_t size = x.type.size(axis);
  for (int64_t o = 0; o < s.outer; ++o) {
    for (int64_t k = 0; k < s.inner; ++k) {
      auto value = [&](int64_t i) { return values[uz((o * size + i) * s.inner + k)]; };
      int64_t best = 0;
      for (int64_t i = 1; i < size; ++i) {
        if (more_extreme<V>(*n.op->combiner, value(i), value(best))) best = i;
      }
      out.as<int64_t>()[o * s.inner + k] = best;
    }
  }
  return out;
}

// ---- contraction ----

using Labels = std::vector<int64_t>;

bool contains(const Labels& labels, int64_t label) { return std::find(labels.begin(), labels.end(), label) != labels.end(); }

// How much each label of `loop` moves through a tensor whose axes carry `labels`. A repeated label walks the diagonal.
std::vector<int64_t> label_strides(const Labels& loop, const Labels& labels, const Type& type) {
  std::vector<int64_t> strides(loop.size(), 0), of_axis = type.strides();
  for (size_t axis = 0; axis < labels.size(); ++axis) {
    for (size_t i = 0; i < loop.size(); ++i) {
      if (loop[i] == labels[axis]) strides[i] += of_axis[axis];
    }
  }
  return strides;
}

template <class V>
Tensor contract(const Node& n, const Tensor& a, const Tensor& b) {
  const Labels &lhs = n.attrs.integers("lhs"), &rhs = n.attrs.integers("rhs"), &kept = n.attrs.integers("out");
  std::map<int64_t, int64_t> sizes;
  for (size_t i = 0; i < lhs.size(); ++i) sizes[lhs[i]] = a.type.size(i);
  for (size_t i = 0; i < rhs.size(); ++i) sizes[rhs[i]] = b.type.size(i);
  Labels summed;
  int64_t terms = 1;
  for (auto [label, size] : sizes) {
    if (contains(kept, label)) continue;
    summed.push_back(label);
    terms *= size;
  }
  auto extents = [&](const Labels& labels) {
    std::vector<int64_t> list;
    for (int64_t label : labels) list.push_back(sizes.at(label));
    return list;
  };
  auto odometer = [&](const Labels& loop) {
    return Odometer<2>(extents(loop), {label_strides(loop, lhs, a.type), label_strides(loop, rhs, b.type)});
  };
  auto x = read_all<V>(a), y = read_all<V>(b);
  std::vector<V> result(uz(n.type.count()), V{0});
  Odometer<2> outer = odometer(kept), inner = odometer(summed);
  for (V& sum : result) {
    for (int64_t i = 0; i < terms; ++i, inner.next()) {
      sum = add(sum, multiply(x[uz(outer[0] + inner[0])], y[uz(outer[1] + inner[1])]));
    }
    outer.next();
  }
  return tensor_of(n.type, result);
}

}  // namespace

Tensor evaluate_node(const Node& n, const Operands& in) {
  switch (n.op->kind) {
    case OpKind::Constant: return eval_constant(n);
    case OpKind::Iota: return eval_iota(n);
    case OpKind::Random: return eval_random(n, in);
    case OpKind::Pointwise: return eval_pointwise(n, in);
    case OpKind::View: return eval_view(n, *in[0]);
    case OpKind::Reshape:
    case OpKind::StopGradient:
    case OpKind::WithDerivative: return eval_reshape(n, *in[0]);
    case OpKind::Pad: return eval_pad(n, *in[0]);
    case OpKind::Concatenate: return eval_concatenate(n, in);
    case OpKind::Reduction:
      return with_value_type(n.type.element, [&](auto v) { return reduce<decltype(v)>(n, *in[0]); });
    case OpKind::ArgReduction:
      return with_value_type(in[0]->type.element, [&](auto v) { return arg_reduce<decltype(v)>(n, *in[0]); });
    case OpKind::Contraction:
      return with_value_type(n.type.element, [&](auto v) { return contract<decltype(v)>(n, *in[0], *in[1]); });
    case OpKind::Gather: return eval_gather(n, *in[0], *in[1]);
    case OpKind::ScatterAdd:
      return with_value_type(n.type.element, [&](auto v) { return scatter_add<decltype(v)>(n, *in[0], *in[1]); });
    case OpKind::Scan: return eval_scan(n, in);
    case OpKind::Result: return in[0]->results[uz(n.attrs.integer("index"))];
    case OpKind::Input:
    case OpKind::Grad: break;
  }
  GRADC_BUG("{} has no value of its own", n.op->name);
}

}  // namespace gradc
