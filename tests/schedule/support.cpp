#include "tests/schedule/support.h"

#include <fmt/format.h>

#include <cmath>

#include "tests/support/random_graph.h"

namespace gradc::test {

Expr Model::tensor(const char* name, const char* role, const std::vector<int64_t>& sizes, Element e) {
  Type t{e, {}};
  for (int64_t s : sizes) t.dims.push_back({s, {}});
  return input(b, name, role, t);
}

Model::Model() { b.provenance = graph.provenance.from(graph.provenance.add(Origin{{FileId(0), 0, 5}, {}, {}})); }

Expr Model::named(Expr x, const char* name) {
  graph.edit(x.id).name = name;
  return x;
}

Graph Model::finished() const {
  AutodiffResult r = expand_gradients(graph);
  if (!r.problems.empty()) throw std::runtime_error(r.problems[0].reason);
  return optimize(r.graph);
}

Expr matmul(Expr x, Expr w) { return contract(x, w, {0, 1}, {1, 2}, {0, 2}); }

Expr repeated(Expr row, Expr like) {
  std::vector<int64_t> axes;
  for (size_t i = 0; i < row.rank(); ++i) axes.push_back(static_cast<int64_t>(like.rank() - row.rank() + i));
  return broadcast(row, axes, like.sizes());
}

Expr cross_entropy(Expr logits, Expr labels) {
  std::vector<int64_t> sizes = logits.sizes();
  Expr top = unreduce(stop_gradient(reduce_max(logits, {1})), {1}, sizes);
  Expr shifted = logits - top;
  Expr log_sum = unreduce(log(reduce_sum(exp(shifted), {1})), {1}, sizes);
  Type index{Element::Int, logits.type().dims};
  Expr hit = eq(iota(logits.builder(), 1, index), broadcast(labels, {0}, sizes));
  Expr picked = select(hit, shifted - log_sum, 0.0);
  return -(reduce_sum(picked, {0, 1}) / static_cast<double>(sizes[0]));
}

void adam(Model& m, const char* parameter, Expr theta, Expr loss, Expr t) {
  Expr g = grad(loss, theta);
  std::string path = parameter;
  Expr mean = m.state((path + ".adam.m").c_str(), theta.sizes(), theta.element());
  Expr var = m.state((path + ".adam.v").c_str(), theta.sizes(), theta.element());
  Expr mean2 = mean * 0.9 + g * 0.1;
  Expr var2 = var * 0.999 + g * g * 0.001;
  auto scale = [&](double beta) { return broadcast(cast(1.0 - pow(t.literal(beta), t), theta.element()), {}, theta.sizes()); };
  Expr step = (mean2 / scale(0.9)) / (sqrt(var2 / scale(0.999)) + 1e-8);
  m.update((path + ".adam.m").c_str(), mean2);
  m.update((path + ".adam.v").c_str(), var2);
  m.update(parameter, theta - step * 1e-3);
}

Graph mlp(std::vector<int64_t> widths, int64_t batch) {
  Model m;
  m.graph.name = "mlp";
  Expr x = m.data("x", {batch, widths[0]}), labels = m.data("labels", {batch}, Element::Int);
  Expr t = m.tensor("step", role::step, {}, Element::F64);
  std::vector<std::pair<std::string, Expr>> parameters;
  for (size_t i = 1; i < widths.size(); ++i) {
    std::string name = fmt::format("h{}", i);
    Expr w = m.parameter((name + ".W").c_str(), {widths[i - 1], widths[i]}), b = m.parameter((name + ".b").c_str(), {widths[i]});
    parameters.push_back({name + ".W", w});
    parameters.push_back({name + ".b", b});
    Expr z = matmul(x, w);
    z = z + repeated(b, z);
    x = m.named(i + 1 < widths.size() ? max(z, 0.0) : z, name.c_str());
  }
  Expr loss = m.named(cross_entropy(x, labels), "loss");
  m.output("loss", loss);
  for (auto& [name, p] : parameters) adam(m, name.c_str(), p, loss, t);
  return m.finished();
}

std::map<Symbol, Tensor> random_inputs(const Graph& g, uint64_t seed) {
  Rng rng(seed);
  std::map<Symbol, Tensor> inputs;
  for (size_t i = 0; i < g.size(); ++i) {
    const Node& n = g[NodeId(i)];
    if (n.op->kind != OpKind::Input) continue;
    Tensor t = Tensor::zeros(n.type);
    for (int64_t k = 0; k < n.type.count(); ++k) {
      double v = is_float(n.type.element) ? rng.uniform(-1, 1) : static_cast<double>(rng.below(3));
      if (n.attrs.text("role") == Symbol(role::step)) v = 3;
      // Second moments are never negative.
      if (n.attrs.text("role") == Symbol(role::state)) v = std::fabs(v);
      t.set(k, n.type.element == Element::Bool ? static_cast<double>(rng.chance(0.5)) : v);
    }
    inputs[n.attrs.text("name")] = std::move(t);
  }
  return inputs;
}

namespace {

// Differences are judged against the size of the tensor's values: sums run in another order than the interpreter's.
std::string compare(const std::string& what, const Tensor& got, const Tensor& want) {
  if (!(got.type == want.type)) return fmt::format("{}: {} instead of {}", what, to_string(got.type), to_string(want.type));
  double scale = 1;
  for (int64_t i = 0; i < want.type.count(); ++i) {
    if (std::isfinite(want.at(i))) scale = std::max(scale, std::fabs(want.at(i)));
  }
  double tolerance = want.type.element == Element::F32 ? 2e-4 : want.type.element == Element::F64 ? 1e-9 : 0;
  for (int64_t i = 0; i < want.type.count(); ++i) {
    double a = got.at(i), b = want.at(i);
    bool same = (std::isnan(a) && std::isnan(b)) || a == b || std::fabs(a - b) <= tolerance * scale;
    if (!same) return fmt::format("{}[{}]: {} instead of {}", what, i, a, b);
  }
  return {};
}

}  // namespace

std::vector<std::string> disagreements(const Graph& g, const std::map<Symbol, Tensor>& inputs, const Target& target, bool fuse, int64_t strips) {
  KernelProgram p = schedule(g, target, {.fuse = fuse, .strips = strips});
  std::vector<std::string> out = verify(p);
  if (!out.empty()) return out;
  StepResult r = run_kernels(p, inputs);
  out = r.problems;
  Interpreter interpreter(g, inputs);
  for (const Output& o : g.outputs) {
    auto& where = o.kind == OutputKind::Value ? r.outputs : r.stored;
    if (!where.count(o.name)) {
      out.push_back(fmt::format("{} is missing", o.name));
      continue;
    }
    std::string problem = compare(o.name.str(), where.at(o.name), interpreter.value(o.node));
    if (!problem.empty()) out.push_back(problem);
  }
  return out;
}

std::string text(const KernelProgram& p) {
  SourceManager sources;
  sources.add("model", "model\n", /*library=*/true);
  return print(p, sources);
}

}  // namespace gradc::test
