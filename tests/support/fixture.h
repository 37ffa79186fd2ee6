#pragma once

#include <map>
#include <string>
#include <vector>

#include "compiler/eval/eval.h"
#include "compiler/ops/expr.h"

// A graph under construction together with values for its inputs.
namespace gradc::test {

inline Type type_of(Element e, const std::vector<int64_t>& sizes) {
  Type t{e, {}};
  for (int64_t s : sizes) t.dims.push_back({s, {}});
  return t;
}

inline Tensor tensor(const Type& type, const std::vector<double>& values) {
  Tensor t = Tensor::zeros(type);
  for (size_t i = 0; i < values.size(); ++i) t.set(static_cast<int64_t>(i), values[i]);
  return t;
}

inline std::vector<double> values_of(const Tensor& t) {
  std::vector<double> v;
  for (int64_t i = 0; i < t.type.count(); ++i) v.push_back(t.at(i));
  return v;
}

struct Fixture {
  Graph graph;
  GraphBuilder b{graph};
  std::map<Symbol, Tensor> inputs;

  Expr in(const char* name, const std::vector<int64_t>& sizes, const std::vector<double>& values, Element e = Element::F64) {
    Type t = type_of(e, sizes);
    inputs[name] = tensor(t, values);
    return input(b, name, role::data, t);
  }
  void out(const char* name, Expr e) { graph.outputs.push_back({name, OutputKind::Value, e.id}); }
  std::vector<double> value(Expr e) const { return values_of(Interpreter(graph, inputs).value(e.id)); }
};

inline Expr named(Expr e, const char* name) {
  e.builder().graph().edit(e.id).name = name;
  return e;
}

inline Expr sum(Expr e) { return reduce_sum(e, all_axes(e)); }

}  // namespace gradc::test
