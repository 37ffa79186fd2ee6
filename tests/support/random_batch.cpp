#include "tests/support/random_batch.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "compiler/ops/expr.h"

namespace gradc::test {
namespace {

class Network {
 public:
  explicit Network(uint64_t seed) : rng_(seed), element_(seed % 2 ? Element::F32 : Element::F64), rows_(rng_.pick<int64_t>({4, 6, 8, 12, 16, 24, 40})) { out_.seed = seed; }

  RandomGraph run() {
    b_.provenance = out_.graph.provenance.from(out_.graph.provenance.add(Origin{{out_.sources.add("batch", "batch\n", /*library=*/true), 0, 5}, {}, {}}));
    Expr x = data("x", rng_.between(1, 20));
    values_ = {x, data("y", rng_.between(1, 9))};
    labels_ = in("labels", role::data, Type{Element::Int, {{rows_, {}}}}, [&] { return static_cast<double>(rng_.below(table_)); });
    const int64_t operations = rng_.between(4, 16);
    for (int64_t i = 0; i < operations; ++i) values_.push_back(bounded(draw()));
    Expr last = values_.back();
    Expr loss = mean(last * last);
    for (Expr v : values_) loss = loss + mean(tanh(v)) * 0.1;  // so that it depends on every parameter
    if (depends(last.id, x.id) && rng_.chance(0.4)) loss = loss + mean(square(grad(sum(tanh(last)), x)));
    give("loss", loss);
    if (rng_.chance(0.5)) give("last", last);
    if (rng_.chance(0.3)) give("slopes", grad(loss, x));
    if (rng_.chance(0.3)) give("most", reduce_max(last, {0}));
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const Expr step = grad(loss, parameters_[i]) * 0.1;
      out_.graph.outputs.push_back({Symbol(names_[i]), OutputKind::Update, (parameters_[i] - step).id});
    }
    return std::move(out_);
  }

 private:
  template <class Value>
  Expr in(const std::string& name, const char* role, const Type& type, Value value) {
    Tensor t = Tensor::zeros(type);
    for (int64_t i = 0; i < type.count(); ++i) t.set(i, value());
    out_.inputs[Symbol(name)] = std::move(t);
    return input(b_, Symbol(name), Symbol(role), type);
  }
  Expr tensor(const std::string& name, const char* role, const std::vector<int64_t>& sizes, double bound = 1) {
    Type t{element_, {}};
    for (int64_t s : sizes) t.dims.push_back({s, {}});
    return in(name, role, t, [&] { return rng_.uniform(-bound, bound); });
  }
  Expr data(const char* name, int64_t width) { return tensor(name, role::data, {rows_, width}); }
  Expr parameter(const std::vector<int64_t>& sizes) {
    names_.push_back(fmt::format("w{}", names_.size()));
    parameters_.push_back(tensor(names_.back(), role::parameter, sizes, 1 / std::sqrt(static_cast<double>(sizes[0]))));
    return parameters_.back();
  }
  void give(const char* name, Expr x) { out_.graph.outputs.push_back({Symbol(name), OutputKind::Value, x.id}); }

  bool depends(NodeId y, NodeId x) const {
    if (y == x) return true;
    const std::vector<NodeId>& from = out_.graph[y].operands;
    return y.at() > x.at() && std::any_of(from.begin(), from.end(), [&](NodeId n) { return depends(n, x); });
  }

  static Expr sum(Expr x) { return reduce_sum(x, all_axes(x)); }
  static Expr mean(Expr x) { return sum(x) / static_cast<double>(x.type().count()); }
  static Expr square(Expr x) { return x * x; }
  static Expr matmul(Expr x, Expr w) { return contract(x, w, {0, 1}, {1, 2}, {0, 2}); }
  static Expr row(Expr x, Expr like) { return broadcast(x, {1}, like.sizes()); }
  // Values stay of the size of one.
  Expr bounded(Expr x) { return rng_.chance(0.5) ? tanh(x) : x / unreduce(reduce_sum(abs(x), {1}) + 1.0, {1}, x.sizes()); }
  Expr of_width(Expr x, int64_t width) { return x.size(1) == width ? x : dense(x, width); }

  Expr dense(Expr x, int64_t width) {
    for (Expr w : parameters_) {
      if (w.rank() == 2 && w.size(0) == x.size(1) && w.size(1) == width && rng_.chance(0.7)) return matmul(x, w);
    }
    return matmul(x, parameter({x.size(1), width}));
  }

  Expr draw() {
    Expr x = rng_.chance(0.6) ? values_.back() : rng_.pick(values_), y = rng_.pick(values_);
    switch (rng_.below(13)) {
      case 0: case 1: case 2: {
        Expr z = dense(x, rng_.pick<int64_t>({1, 2, 3, 8, 17, 33}));
        return z + row(parameter({z.size(1)}), z);
      }
      case 3: return x * of_width(y, x.size(1));
      case 4: return sigmoid(x) + of_width(y, x.size(1));
      case 5: return concatenate({x, y}, 1);
      case 6: return slice(x, {0, rng_.below(x.size(1))}, x.sizes());
      case 7: {  // softmax
        Expr e = exp(x - unreduce(stop_gradient(reduce_max(x, {1})), {1}, x.sizes()));
        return e / unreduce(reduce_sum(e, {1}), {1}, x.sizes());
      }
      case 8: return x - unreduce(reduce_sum(x, {0}) / static_cast<double>(rows_), {0}, x.sizes());  // the batch's mean
      case 9: return gather(parameter({table_, rng_.between(1, 6)}), labels_, 0);
      case 10: {  // attention within a row
        Expr z = reshape(dense(x, 6), {rows_, 3, 2});
        return reshape(contract(contract(z, z, {0, 1, 3}, {0, 2, 3}, {0, 1, 2}), z, {0, 1, 2}, {0, 2, 3}, {0, 1, 3}), {rows_, 6});
      }
      case 11: return pad(x, {0, 1}, {0, 2}, 0.5);
      default: {
        Expr z = of_width(y, x.size(1));
        return select(lt(x, z), x * z, 0.25);
      }
    }
  }

  static constexpr int64_t table_ = 5;
  Rng rng_;
  Element element_;
  int64_t rows_;
  RandomGraph out_;
  GraphBuilder b_{out_.graph};
  std::vector<Expr> values_, parameters_;
  std::vector<std::string> names_;
  Expr labels_;
};

}  // namespace

RandomGraph random_batch(uint64_t seed) { return Network(seed).run(); }

}  // namespace gradc::test
